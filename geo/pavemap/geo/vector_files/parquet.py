"""GeoParquet, by pyarrow, in bounded memory."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import pyarrow as pa
import pyarrow.parquet

from pavemap.geo.errors import BadInput
from pavemap.geo.vector_files import raw
from pavemap.geo.vector_files.raw import (
    RawLines,
    Wanted,
    from_frame,
    refuse_layer,
    refuse_other_bytes,
    refuse_too_many,
    too_large,
)


def read_parquet(path: Path, wanted: Wanted) -> RawLines:
    """Read a GeoParquet file. Raises BadInput."""
    refuse_layer(wanted.layer)
    refuse_other_bytes(path, b"PAR1", wanted.file)
    with pa.parquet.ParquetFile(path) as file:
        refuse_too_many(file.metadata.num_rows, wanted.max_features)
        names = file.schema_arrow.names
        geo = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
        geometry = geo.get("primary_column") if isinstance(geo, dict) else None
        if not isinstance(geometry, str) or geometry not in names:
            raise BadInput(
                f"'{wanted.file}' has no GeoParquet metadata; write it with GDAL or GeoPandas"
            )
        columns = wanted.of(name for name in names if name != geometry)
        # A dictionary page can repeat one huge value a million times, so sizes are counted decoded.
        left = raw.MAX_UNPACKED_BYTES
        for batch in file.iter_batches(1024, columns=[*columns, geometry]):
            left -= batch.nbytes
            if left < 0:
                raise BadInput(too_large("file"))
    frame = geopandas.read_parquet(path, columns=[*columns, geometry])
    return from_frame(frame, columns, wanted.file)
