"""What a process of the command line sets before the work begins."""

import ctypes
import os
import platform

M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -8, -3, -1
"""Numbers of glibc's options in malloc.h: heaps, size from which memory is the system's, and free memory to keep."""

SHORTEST_WAIT = "4"
"""Cycles that OpenBLAS lets a waiting thread spin, as a power of 2: the least that it takes; its own choice is 26."""

KEPT_BYTES = 1 << 30
"""More than a model's layer makes of the pictures of a batch."""


def prepare_process() -> None:
    """Sets what libraries read when they are loaded, and what the allocator does with freed memory."""
    prepare_libraries()
    keep_freed_memory()


def prepare_libraries() -> None:
    """Keeps libraries from writing between our lines, and threads of torch and NumPy from spinning while they wait.

    Spinning threads take the cores from what reads pictures: on two busy cores training is then many times slower. A
    library reads these settings when it is loaded, and the user's own come first.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", SHORTEST_WAIT)


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory instead of giving it back and taking it anew for each layer of a model.

    On a CPU that can take more time than the layer itself. Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    change = ctypes.CDLL(None).mallopt
    for option, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, KEPT_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES)):
        change(option, value)
