"""The garbage collector of a process that runs for long."""

import gc

THRESHOLDS = (20_000, 20, 20)  # a delivery leaves no cycles: looking for them rarely is enough


def settle_memory() -> None:
    """What start-up made stays: full collections over it were the tail of the latency.

    In the process that lands, collections were a fifteenth of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
