"""Shapes, window sizes and paddings of max pooling."""

CASES = {
    "same, even": ((2, 8, 6, 3), (2, 2), "same"),
    "same, odd": ((2, 7, 5, 3), (2, 2), "same"),
    "same, both margins": ((2, 4, 4, 2), (3, 3), "same"),
    "valid, with rests": ((2, 8, 7, 2), (3, 2), "valid"),
    "one dimension": ((3, 9, 2), (4,), "same"),
}
