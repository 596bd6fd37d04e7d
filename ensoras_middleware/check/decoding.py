"""Content encodings, decoded up to a limit: a few bytes may stand for very many (RFC 9110, 8.4.1).

httpx decodes by itself, but without a limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ensoras_middleware.check.finding import CannotCheck

LIMIT = 16 * 1024 * 1024


def _zlib(body: bytes, window: int) -> bytes:
    decompressor = zlib.decompressobj(window)
    decoded = decompressor.decompress(body, LIMIT + 1)
    if len(decoded) <= LIMIT and not decompressor.eof:
        raise ValueError("incomplete")
    return decoded


def _gzip(body: bytes) -> bytes:
    return _zlib(body, zlib.MAX_WBITS | 16)


def _deflate(body: bytes) -> bytes:
    try:
        return _zlib(body, zlib.MAX_WBITS)
    except zlib.error:  # some servers leave out the zlib header, and browsers read that too
        return _zlib(body, -zlib.MAX_WBITS)


def _decoders() -> dict[str, Callable[[bytes], bytes]]:
    """Return a decoder for each encoding that this installation can read."""
    decoders: dict[str, Callable[[bytes], bytes]] = {"gzip": _gzip, "deflate": _deflate}
    try:
        import brotli

        brotli.Decompressor().process(b"", output_buffer_limit=1)  # since version 1.2
    except (ImportError, TypeError):
        pass
    else:

        def _brotli(body: bytes) -> bytes:
            decompressor = brotli.Decompressor()
            decoded: bytes = decompressor.process(body, output_buffer_limit=LIMIT + 1)
            if len(decoded) <= LIMIT and not decompressor.is_finished():
                raise ValueError("incomplete")
            return decoded

        decoders["br"] = _brotli
    try:
        import zstandard
    except ImportError:
        pass
    else:

        def _zstd(body: bytes) -> bytes:
            # Browsers take no window beyond 8 MB (RFC 9659).
            decompressor = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
            stream, decoded = decompressor.decompressobj(), bytearray()
            # It has no limit, but these bytes hold at most 32 blocks of at most 128 KB (RFC 8878).
            for start in range(0, len(body), 128):
                decoded += stream.decompress(body[start : start + 128])
                if len(decoded) > LIMIT or stream.eof:
                    break
            if len(decoded) <= LIMIT and not stream.eof:
                raise ValueError("incomplete")
            return bytes(decoded)

        decoders["zstd"] = _zstd
    return decoders


_DECODERS = _decoders()
ACCEPT_ENCODING = ", ".join(_DECODERS)


def decoded(body: bytes, encodings: str) -> bytes:
    """Return what an encoded body stands for; `encodings` is the `Content-Encoding` field.

    Raises `CannotCheck` where it cannot be decoded, or is longer than `LIMIT`.
    """
    for encoding in reversed([one.strip().lower() for one in encodings.split(",")]):
        if encoding in ("", "identity"):
            continue
        decoder = _DECODERS.get(encoding.removeprefix("x-"))
        if decoder is None:
            raise CannotCheck(
                f"The page comes in the encoding `{encoding}`, which this command did not ask for: "
                "let the site heed Accept-Encoding."
            )
        try:
            body = decoder(body)
        except Exception:  # each package has errors of its own
            raise CannotCheck(
                f"The page is broken: it says that it is encoded in `{encoding}`, and is not. Two "
                "layers that compress, or a wrong Content-Encoding, do so."
            ) from None
        if len(body) > LIMIT:
            raise CannotCheck(f"The page is larger than {LIMIT // 2**20} MB when it is decoded.")
    return body
