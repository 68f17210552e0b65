"""The part of a rank other than rank 0 in a sweep: it runs its own process of each cell, until rank 0 ends."""

import os
import selectors
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from bench.errors import BenchError
from bench.execute.executor import ExecutorSettings
from bench.execute.job.channel import Channel, GoneError
from bench.execute.job.gathering import join
from bench.execute.job.own_rank import OwnRank
from bench.execute.job.place import place_from_environment
from bench.execute.messages import INTERRUPTED, Call


def follow(settings: ExecutorSettings) -> None:
    """Takes part in the sweep of rank 0 to its end.

    Args:
        settings: of the sweep, as on rank 0.

    Raises:
        BenchError: rank 0 was not found, or has ended before its sweep.
    """
    place = place_from_environment()
    own = OwnRank(settings, place)
    channel = join(place)
    try:
        with ThreadPoolExecutor(1, f"rank {place.rank}") as thread:
            try:
                while (call := Call.parse(channel.receive())).task != "end":
                    if call.task == "cancel":
                        continue  # its process has ended by itself
                    if not _answer(call, own, channel, thread):
                        return
            except KeyboardInterrupt:
                with suppress(GoneError):
                    channel.send(INTERRUPTED)
                raise
            finally:
                own.cancel()
    except GoneError:
        raise BenchError(
            f"--executor torchrun: rank 0 of {place.ranks} at {place.address} has ended, and rank {place.rank} with it"
        ) from None
    finally:
        channel.close()


def _answer(call: Call, own: OwnRank, channel: Channel, thread: ThreadPoolExecutor) -> bool:
    """Answers ``call``, and ends its process when rank 0 says so or is gone; returns whether the sweep goes on."""
    reader, writer = os.pipe()
    try:
        answer = thread.submit(own.answer, call)
        answer.add_done_callback(lambda _: os.close(writer))  # which makes the other end readable
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            selector.register(channel, selectors.EVENT_READ)
            while not answer.done():
                if any(key.fileobj is channel for key, _ in selector.select()):
                    told = Call.parse(channel.receive()).task
                    own.cancel()
                    if told == "end":
                        return False
        channel.send(answer.result())
        return True
    finally:
        os.close(reader)
