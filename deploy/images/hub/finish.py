"""Make installed packages ready for layers: leave out what never runs, compile, and give all files one time.

python finish.py FOLDER. Bytecode is valid by itself and times are the same in every build, so that the same packages
make the same layer.
"""

import compileall
import os
import py_compile
import shutil
import struct
import sys
from pathlib import Path

NEVER_RUN = {"tests", "test", "testing"}
KEEP = {"sqlalchemy"}  # whose plain code imports its testing package
SOURCES_OF_C = {".c", ".cpp", ".h", ".pxd", ".pyx"}


def main(folder: Path) -> None:
    """Leave out, compile, set the times."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name in NEVER_RUN and not KEEP & set(path.parts):
            shutil.rmtree(path)
        elif path.suffix in SOURCES_OF_C:
            path.unlink()
        elif ".so" in path.suffixes and path.is_file():
            strip(path)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=1, force=True, invalidation_mode=mode, maxlevels=20):
        sys.exit(f"not everything in {folder} could be compiled")
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (0, 0), follow_symlinks=False)


def strip(library: Path) -> None:
    """Cut off a shared library what only debuggers read: all that lies behind its last segment.

    Wheels carry it (37 MB of ours), bases have no `strip`, and the loader reads segments, never sections.
    """
    content = bytearray(library.read_bytes())
    if content[:6] != b"\x7fELF\x02\x01":  # 64 bits, little end first
        return
    (start,) = struct.unpack_from("<Q", content, 0x20)
    size, count = struct.unpack_from("<HH", content, 0x36)
    segments = [struct.unpack_from("<Q16xQ", content, start + index * size + 8) for index in range(count)]
    end = max([start + size * count, *(offset + length for offset, length in segments)])
    struct.pack_into("<Q", content, 0x28, 0)  # no table of sections
    struct.pack_into("<HHH", content, 0x3A, 0, 0, 0)
    library.write_bytes(content[:end])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
