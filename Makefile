# For people: `make` says what there is. The work is done by the scripts in tests/.
PYTHONS = 13 12 14 11 10

.PHONY: help demo lab test lint bench clean
help:
	@echo "make demo    try it: an emulated router on this machine, the playbooks, a report (under a minute)"
	@echo "make lab     a router with a real kernel on this machine, to log in to and play with (see python tests/lab --help)"
	@echo "make test    everything that is tested, with all that the tests need"
	@echo "make lint    the static checks of 'make test' alone"
	@echo "make bench   what a report costs, compared with what Ansible itself costs; what counting costs the router"
	@echo "make clean   remove the environments and caches that these made (reports/ stays)"

demo:
	@tests/demo

# make lab OPTIONS="--wan eth0.2 --backend nft"
lab:
	@python=$$(tests/tools/python $(PYTHONS)) && "$$python" tests/lab $(OPTIONS)

# make test PARTS="unit lab" runs these parts alone
test:
	@python=$$(tests/tools/python $(PYTHONS)) && "$$python" tests/run.py $(PARTS)

lint:
	@python=$$(tests/tools/python $(PYTHONS)) && "$$python" tests/run.py static

bench:
	@tests/bench/run

clean:
	rm -rf .venv .cache .ansible .hypothesis demo
	find . -name __pycache__ -prune -exec rm -rf {} +
