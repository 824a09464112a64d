"""The ring from Python: what a line in cases.toml cannot say."""

PROGRAM = "../build/ring_pipe"


def test_a_full_ring_takes_no_more(emulate):
    result = emulate(PROGRAM, ["x" * 3000, "y" * 2000])
    assert result.status == 11
    assert result.stdout == b""


def test_the_child_gets_what_was_put_whatever_forks(emulate, fork_kind):
    assert emulate(PROGRAM, ["a", "b", "c"]).stdout == b"abc\n"


def test_a_fork_that_fails_is_reported(machine):
    system = machine(PROGRAM, ["x"])
    system.fail_syscall(11, "fork")  # EAGAIN
    assert system.run().status == 12


def test_no_page_is_copied_that_need_not_be(emulate):
    """The ring is shared: only what the processes write of their own is copied, under either kind of fork."""
    costs = [emulate(PROGRAM, ["x"], fork=fork).ledger["total"]["faults"] for fork in ("classic", "odf")]
    assert costs[0]["cow_copy"] <= 12
    assert costs[1].get("table_break", 0) <= 4
