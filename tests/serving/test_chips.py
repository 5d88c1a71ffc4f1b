"""Chips as clients send them: formats, bands, and bodies that are not what they say."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
from collections.abc import AsyncIterator
from unittest.mock import Mock

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from pavemap.geo.errors import BadInput
from pavemap.serving.args import ServingArgs
from pavemap.serving.chips import ChipTooLarge, decode_chip, encode_probability
from pavemap.serving.ingress import BODY_BYTES_PER_PX, HEADER_BYTES, Ingress

Array = NDArray[np.uint8]

MAX_PX = 10_000


@pytest.fixture
def pixels() -> Array:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def encoded(pixels: Array, extension: str) -> bytes:
    """Encode RGB(A) with OpenCV, which thinks in BGR(A)."""
    if pixels.ndim == 3:
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    done, body = cv2.imencode(extension, pixels)
    assert done
    return body.tobytes()


def npy(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_rgb_pictures_come_through_unchanged(pixels: Array, extension: str) -> None:
    assert np.array_equal(decode_chip(encoded(pixels, extension), max_px=MAX_PX), pixels)


def test_arrays_come_through_unchanged_in_any_memory_order(pixels: Array) -> None:
    assert np.array_equal(decode_chip(npy(pixels), max_px=MAX_PX), pixels)
    assert np.array_equal(decode_chip(npy(np.asfortranarray(pixels)), max_px=MAX_PX), pixels)


def test_grey_is_spread_and_alpha_is_dropped(pixels: Array) -> None:
    grey = pixels[:, :, 0]
    spread = np.repeat(grey[:, :, None], 3, axis=2)
    assert np.array_equal(decode_chip(encoded(grey, ".png"), max_px=MAX_PX), spread)
    assert np.array_equal(decode_chip(npy(grey), max_px=MAX_PX), spread)
    with_alpha = np.dstack([pixels, np.full(grey.shape, 128, np.uint8)])
    assert np.array_equal(decode_chip(encoded(with_alpha, ".png"), max_px=MAX_PX), pixels)


@pytest.mark.parametrize("form", [".png", ".tif", "npy"])
def test_too_many_pixels_are_refused(form: str) -> None:
    large = np.zeros((101, 100, 3), np.uint8)
    body = npy(large) if form == "npy" else encoded(large, form)
    with pytest.raises(ChipTooLarge, match="cut it"):
        decode_chip(body, max_px=MAX_PX)


def tiff(bands: int, *, block: int | None = None, size: int = 16) -> bytes:
    """A TIFF of zeros, of which hardly a byte is stored."""
    tiled = {} if block is None else {"tiled": True, "blockxsize": block, "blockysize": block}
    profile = {"driver": "GTiff", "count": bands, "width": size, "height": size, "dtype": "uint8"}
    with MemoryFile() as file:
        with file.open(**profile, SPARSE_OK=True, **tiled):
            pass
        return bytes(file.read())


def test_numbers_of_colours_and_inverted_tones_are_no_light() -> None:
    grey = np.full((1, 16, 16), 1, np.uint8)
    profile = {"count": 1, "width": 16, "height": 16, "dtype": "uint8"}
    with MemoryFile() as file:
        with file.open(driver="PNG", photometric="palette", **profile) as target:
            target.write_colormap(1, {0: (30, 30, 30), 1: (150, 150, 150)})
            target.write(grey)
        with pytest.raises(BadInput, match="palette"):
            decode_chip(bytes(file.read()), max_px=MAX_PX)
    with MemoryFile() as file:
        with file.open(driver="GTiff", photometric="miniswhite", **profile) as target:
            target.write(grey)
        with pytest.raises(BadInput, match="inverted"):
            decode_chip(bytes(file.read()), max_px=MAX_PX)


def test_an_array_of_a_negative_size_is_refused(pixels: Array) -> None:
    body = npy(pixels[:2, :2, :1]).replace(b"(2, 2, 1)", b"(-2,-2,1)")
    with pytest.raises(BadInput, match="-2"):
        decode_chip(body, max_px=MAX_PX)


def test_what_would_be_unpacked_is_bounded_not_only_what_would_be_kept() -> None:
    tracemalloc.start()
    with pytest.raises(BadInput, match="500 bands"):
        decode_chip(tiff(500, size=96), max_px=MAX_PX)
    with pytest.raises(ChipTooLarge, match="blocks"):
        decode_chip(tiff(1, block=1024), max_px=MAX_PX)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000  # 4.6 MB were to be read of the first


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
def test_a_body_that_is_no_chip_is_not_even_received() -> None:
    ingress = Ingress(ServingArgs(max_chip_px=MAX_PX), Mock(), None, limit=4)
    most = BODY_BYTES_PER_PX * MAX_PX + HEADER_BYTES
    transport = httpx.ASGITransport(ingress.__serve_build_asgi_app__())

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(most // 100_000 + 2):
            yield b"x" * 100_000

    async def statuses() -> list[int]:
        async with httpx.AsyncClient(transport=transport, base_url="http://serve") as client:
            whole = await client.post("/detect", content=b"x" * (most + 1))
            return [whole.status_code, (await client.post("/detect", content=pieces())).status_code]

    assert asyncio.run(statuses()) == [413, 413]


def test_what_is_no_chip_is_refused_with_advice(pixels: Array) -> None:
    vrt = b"<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand/></VRTDataset>"
    sixteen = encoded(pixels.astype(np.uint16), ".png")
    announced = npy(pixels)[:-100]
    for body in [b"", b"hello", vrt, sixteen, announced, npy(np.zeros((3, 3, 7), np.uint8))]:
        with pytest.raises(BadInput, match="8-bit RGB"):
            decode_chip(body, max_px=MAX_PX)


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_a_picture_cut_off_is_refused(pixels: Array, extension: str) -> None:
    body = encoded(pixels, extension)
    with pytest.raises(BadInput, match="8-bit RGB"):
        decode_chip(body[: len(body) // 2], max_px=MAX_PX)


def test_objects_in_an_array_are_never_unpickled() -> None:
    with pytest.raises(BadInput, match="object"):
        decode_chip(npy(np.array([{"a": 1}], dtype=object)), max_px=MAX_PX)


def test_a_probability_map_is_a_grey_png_of_the_same_bytes(pixels: Array) -> None:
    png = encode_probability(pixels[:, :, 0])
    read = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert np.array_equal(read, pixels[:, :, 0])
