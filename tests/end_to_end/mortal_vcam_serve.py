"""vcam-serve that ends where a graph would run on a marked scan: mortal_vcam_serve.py COUNTS …

The process is killed from within, as by the kernel when memory runs out.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

MARK = 371


def main(counts: Path) -> None:
    from vcam_serving import _cli
    from vcam_serving.session import Servable

    run = Servable.run

    def mortal(self: Servable, signature: str, inputs: Any, outputs: Any = None) -> Any:
        volume = inputs.get("volume")
        if volume is not None and (volume == MARK).mean() > 0.4:
            with counts.open("a") as stream:
                stream.write("asked\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return run(self, signature, inputs, outputs)

    Servable.run = mortal  # type: ignore[method-assign]
    _cli.main()


if __name__ == "__main__":
    path = Path(sys.argv.pop(1))
    main(path)
