"""The lab's vocabulary: ids, enums, money, time, errors and messages. Pure; everything may import it."""

VERSION = "0.1.0"
