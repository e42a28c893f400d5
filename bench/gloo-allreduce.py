"""One rank of a Gloo all-reduce benchmark; bench/allreduce-vs-gloo.ts starts it, one process a rank.

usage: gloo-allreduce.py RANK RANKS PORT BYTES REPEATS
Prints one JSON object: the seconds of each run, and whether every element of every run was the sum.
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist

WARM_UP = 3


def main() -> None:
    rank, ranks, port, size, repeats = (int(argument) for argument in sys.argv[1:])
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    index = torch.arange(size // 4)
    own = ((index * 7 + rank * 3) % 13 - 6).float()
    total = sum(((index * 7 + other * 3) % 13 - 6).float() for other in range(ranks))
    values = torch.empty_like(own)
    seconds = []
    checked = True
    for run in range(-WARM_UP, repeats):
        values.copy_(own)
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(values)
        if run >= 0:
            seconds.append(time.perf_counter() - start)
        checked = checked and bool(torch.equal(values, total))
    dist.barrier()
    print(json.dumps({"seconds": seconds, "checked": checked}))


main()
