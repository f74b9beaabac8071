"""CEL conditions: compiled and checked once, given only what they name, with their work bounded beforehand."""
