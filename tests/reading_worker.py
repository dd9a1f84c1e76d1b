"""Reads one scan per line of standard input and answers with a line of JSON.

Run with its address space limited, so that a file that asks for too much shows.
"""

import json
import resource
import sys
from pathlib import Path

ADDRESS_SPACE_BYTES = 4 * 2**30


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    from vcam_client.errors import VcamError
    from vcam_client.inspection import inspect_scan

    for line in sys.stdin:
        path, volume_index = json.loads(line)
        try:
            found = inspect_scan(Path(path), volume_index=volume_index)
            answer = {"found": found.to_dict()}
            if found.error is not None:
                answer["error"] = type(found.error).__name__
        except VcamError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except BaseException as error:
            answer = {"crash": repr(error)}
        print(json.dumps(answer, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
