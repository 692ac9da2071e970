"""Series: what people have (arrays, lists, frames, files) as one value that estimators and commands take."""

from s5ref.series.convert import as_series
from s5ref.series.files import read
from s5ref.series.series import Series, SeriesWarning
from s5ref.series.tables import Table, from_frame
from s5ref.series.targets import Target, as_target

__all__ = [
    "Series",
    "SeriesWarning",
    "Table",
    "Target",
    "as_series",
    "as_target",
    "from_frame",
    "read",
]
