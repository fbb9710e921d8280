"""Says where Ansible's processes spend their CPU time. Python imports this by itself at its start (PYTHONPATH).

Every few milliseconds of CPU time (the kernel's tick), in the parent and in every fork, the callers of the running function
are looked through, and a letter goes to the file SAMPLES: `o` where this collection is among them, whatever it called
included (telnetlib3, textfsm, the standard library), `a` for everything else, which is Ansible.
"""

import atexit
import os
import signal
import sys

_INTERVAL = 0.001


def _sample(number, frame):
    kind = b"a"
    while frame is not None:
        if "/homenet/traffic/" in frame.f_code.co_filename:
            kind = b"o"
            break
        frame = frame.f_back
    os.write(_FILE, kind)


def _run(interval):
    signal.setitimer(signal.ITIMER_PROF, interval, interval)


if os.environ.get("SAMPLES") and sys.argv[0].endswith("ansible-playbook"):
    _FILE = os.open(os.environ["SAMPLES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    signal.signal(signal.SIGPROF, _sample)
    os.register_at_fork(after_in_child=lambda: _run(_INTERVAL))  # a fork does not inherit the timer
    atexit.register(_run, 0)  # the interpreter takes its handlers down before it ends
    _run(_INTERVAL)
