# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Show who used how much, and write the reports
version_added: 0.1.0
author: homenet.traffic contributors (@homenet-traffic)
description:
  - Shows a table for every router of the play, the heaviest host first, and writes the reports as files.
  - It takes what M(homenet.traffic.counters_info) registered in the same play, and logs in nowhere itself.
  - It is run once for all routers of the play, with C(run_once). Those that failed or were unreachable are named with their
    error, in the terminal and on the page over all routers, and keep the files of their last good report.
  - For each router it writes C(NAME.html), C(NAME.md), C(NAME.json) and C(NAME.csv), C(NAME) being its name in the inventory.
    Characters that are not safe in a file name are percent-encoded; no router can be named C(index).
  - C(index.html) is the page over all routers. It also shows those that were not part of the run, with the age of what it says,
    as long as they are in the inventory or their files are there; C(index.json) keeps what it needs for that.
  - A report also tells which share of what passed the WAN interfaces since the last report was counted, and warns in red under
    90 per cent. C(index.json) keeps the last reading of each router for that, whatever the formats.
  - From it a report also tells who was not counted yet in an earlier one, and so looks lighter than he is; in C(NAME.json) it is
    C(since), the time of the last report in which the host was not counted, or null where it was counted as long as anybody knows.
  - Names that hosts chose for themselves are shown as text. In the CSV files an apostrophe stands before what a spreadsheet
    could run as a formula.
options:
  dir:
    description:
      - The directory that the files go to. It is made where it does not exist.
      - A relative path counts from the current directory.
    type: path
    default: reports
  formats:
    description: Which files to write. With an empty list only the terminal shows the reports.
    type: list
    elements: str
    choices: [html, md, json, csv]
    default: [html, md, json, csv]
  result:
    description: The variable that the task with M(homenet.traffic.counters_info) registered.
    type: str
    default: traffic_reading
  readings:
    description:
      - What to report on, in place of the variable O(result) of the play's routers.
      - A dictionary of names of routers and what M(homenet.traffic.counters_info) returned for them.
    type: dict
notes:
  - Where no router can be reached, no router is left to run this task for all of them. With the play's variable
    C(traffic_first_stays) set to V(true), as the playbook C(homenet.traffic.report) has it, the modules of this collection leave
    the play's first router in the play even when it is unreachable. The result here is unreachable then, after everything was
    written. The other routers are not failed for it where the task has C(ignore_errors) set to C("{{ false }}"). No error is
    ignored by that, but up to ansible-core 2.20 only a template lets this action say so.
  - It fails for a router whose report cannot be made or written, after it has written the others'.
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: none
    details: Every report says when it was made.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: the control node
seealso:
  - module: homenet.traffic.counters_info
"""

EXAMPLES = r"""
- name: Read and report
  block:
    - name: Read the counters
      homenet.traffic.counters_info:
        require_chain: true
      register: traffic_reading
  always: # also for routers that failed
    - name: Write the reports
      homenet.traffic.report:
        dir: /var/www/traffic
        formats: [html, json]
      run_once: true

- name: Report on a reading that was kept
  homenet.traffic.report:
    readings:
      home: "{{ lookup('ansible.builtin.file', 'home-reading.json') | from_json }}"
  run_once: true
"""

RETURN = r"""
files:
  description: The files that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample:
    - /home/ali/reports/home.html
    - /home/ali/reports/home.json
    - /home/ali/reports/index.json
    - /home/ali/reports/index.html
routers:
  description: The routers with a new report.
  returned: success
  type: list
  elements: str
  sample: [home]
failed_routers:
  description: The routers without one, and why.
  returned: unless the result itself is unreachable, which Ansible would print whole
  type: list
  elements: dict
  sample:
    - router: cabin
      msg: "192.168.7.1 port 23: no answer within 10 seconds. Is it on?"
      unreachable: true
  contains:
    router:
      description: The router's name in the inventory.
      type: str
    msg:
      description: The error.
      type: str
    unreachable:
      description: Whether it could not be reached at all.
      type: bool
"""
