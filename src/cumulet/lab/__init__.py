"""A laboratory: a cloud of many hosts on one machine, to try it and to hurt it."""
