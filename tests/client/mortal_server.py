"""A stand-in that ends where it is asked about a marked scan: mortal_server.py PORT COUNTS.

Each scan that it is asked about is a line in the file COUNTS: its mark, or None.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client.marks import mark_of
from client.stand_in import answer, stand_in


def main(port: int, counts: Path) -> None:
    with stand_in(port=port) as state:

        def reply(request: Any) -> Any:
            mark = mark_of(request)
            with counts.open("a") as stream:
                stream.write(f"{mark}\n")
            if mark is not None:
                os._exit(1)
            return answer()

        state.predict = reply
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
