"""The same meta-step as users of other libraries would write it."""
