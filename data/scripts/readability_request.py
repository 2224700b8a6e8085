"""A command script: reads the configuration and the prompt as JSON, prints the request that is sent.

This one asks a program beside it. A request over HTTP is printed as `url`, `headers` and `body`; see data/README.md.
"""

import json
import sys

given = json.load(sys.stdin)
measure = sys.argv[2]
print(json.dumps({"argv": ["readability.py", measure], "stdin": given["prompt"], "answer": "/text"}))
