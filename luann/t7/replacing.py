"""Writing a file so that a crash leaves the old one whole."""

from __future__ import annotations

import os
import secrets
import stat


class Replacing:
    """A new content for a file, which takes the place of the old one in one step.

    It goes to a file beside it, in the same folder. A device or a pipe is written to directly.

    Args:
        path: the file, which need not be there yet. Of a link, what it points to is replaced.

    Attributes:
        file: where to write, an unbuffered binary file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = os.path.realpath(os.fspath(path))
        self._temporary: str | None = None
        self._mode: int | None = None
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISREG(status.st_mode):
                self.file = open(self._path, "wb", buffering=0)  # noqa: SIM115
                return
            self._mode = stat.S_IMODE(status.st_mode)
            with open(self._path, "r+b"):
                pass  # what may not be written to is not replaced either
        folder = os.path.dirname(self._path)
        while True:
            name = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
            try:
                self.file = open(name, "xb", buffering=0)  # noqa: SIM115
            except FileExistsError:
                continue
            except OSError as error:
                error.filename = self._path
                raise
            self._temporary = name
            return

    def commit(self) -> None:
        """Make what was written the content of the file."""
        if self._temporary is None:
            self.file.close()
            return
        try:
            os.fsync(self.file.fileno())
            self.file.close()
            if self._mode is not None:
                os.chmod(self._temporary, self._mode)
            os.replace(self._temporary, self._path)
        except BaseException:
            self.discard()
            raise
        self._temporary = None
        _sync_folder(os.path.dirname(self._path))

    def discard(self) -> None:
        """Leave the file as it was."""
        self.file.close()
        if self._temporary is not None:
            name, self._temporary = self._temporary, None
            os.unlink(name)


def _sync_folder(folder: str) -> None:
    """Have the disk know of the new name too, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems do not know it
    finally:
        os.close(handle)
