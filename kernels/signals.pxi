# Python's signal handlers, while a run is on without the GIL.

cdef enum:
    POLL_MILLISECONDS = 20
    FINISH_MILLISECONDS = 100  # a run that is expected to end within this is not interrupted


cdef bint poll_signals(void *context) noexcept nogil:
    """Let Python's signal handlers run (the calling thread only), every now and then: whether this was the
    time.
    """
    cdef Session_ *session = <Session_ *> context
    cdef State *s = &session.state
    cdef int64_t now = milliseconds()
    if now < session.next_poll:
        return False
    session.next_poll = now + POLL_MILLISECONDS
    enter(s, 0, TIMED_BOOKKEEPING, 0)
    run_handlers(session, now)
    enter(s, 0, TIMED_WAITING, 0)
    return True


# Apart from the above: Cython has a function that holds Python objects anywhere take the GIL whenever it
# returns.
cdef void run_handlers(Session_ *session, int64_t now) noexcept with gil:
    """Run Python's signal handlers. What one raises ends the run, unless its end is near."""
    cdef State *s = &session.state
    cdef int64_t left
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Engine> session.owner).raised = error
        left = s.n_rows - s.batch
        if s.batch == 0 or (now - session.started) * left > FINISH_MILLISECONDS * s.batch:
            # several epochs are run where they are expected to be short
            s.stop = s.epoch_rows == s.n_rows
