"""What reading a ZIP raises that is damaged, encrypted, or packed in a way that Python can't read."""

from __future__ import annotations

import lzma
import zipfile
import zlib

UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # encrypted; of this kind is also NotImplementedError, for an unknown compression
)
