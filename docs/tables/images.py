"""The table of reading folders of images."""

from tables.files import link, record
from tables.words import seconds, table


def folders() -> str:
    rows = [
        [
            f"{row['images']:,}, {row['image_size']} x {row['image_size']} x {row['channels']}",
            row["what"],
            seconds(row["seconds"]),
            seconds(row["cpu_seconds"]),
            f"{row['mb']:,.0f} MB",
        ]
        for row in record("image_folders")["rows"]
    ]
    source = link("image_folders.json", "image_folders.json")
    header = ["images", "read", "time", "of the processors", "memory"]
    return f"{table(header, rows)}\n\nMeasured by `benchmarks/image_folders.py`: {source}."


TABLES = {"image_folders": folders}
VALUES: dict = {}
