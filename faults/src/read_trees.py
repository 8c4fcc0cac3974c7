"""Reads certbot trees with certbot itself: a folder with a tree in `etc` per line in, a line of JSON out.

Loading certbot takes a second, so that is done once, and each tree is read in a process forked from there.
"""

import json
import os
import sys
import traceback

from certbot import main

for line in sys.stdin:
    folder = line.rstrip("\n")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        failed = True
        try:
            failed = main.main([
                "certificates",
                "--config-dir", folder + "/etc",
                "--work-dir", folder + "/certbot/work",
                "--logs-dir", folder + "/certbot/logs",
            ])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1 if failed else 0)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    print(json.dumps({"status": os.waitstatus_to_exitcode(status), "text": text}), flush=True)
