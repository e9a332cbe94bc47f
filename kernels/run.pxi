# A run of a network over rows: which batch, chunk and phase comes next. The state machine that the team's last worker of each phase turns.

cdef extern from "<math.h>" nogil:
    bint isfinite(double)
    double sqrt(double)
    double pow(double, double)

cdef void begin_rows(Net *net, Team *team) noexcept nogil:
    """Deal the rows of the next chunk."""
    cdef ptrdiff_t units, jobs
    cdef int i
    net.chunk_rows = min(net.capacity, net.batch_end - net.chunk)
    units = (net.chunk_rows + net.kernels.tile - 1) // net.kernels.tile
    jobs = (net.chunk_rows + team.n_workers * net.rows_a_job - 1) // (team.n_workers * net.rows_a_job) * team.n_workers
    net.n_row_jobs = min(units, jobs)
    for i in range(team.n_workers):
        net.row_ends[i] = net.n_row_jobs * (i + 1) // team.n_workers
    if net.is_sparse and net.mode != PREDICT:
        net.row_ends[team.n_workers - 1] += 1
    net.phase = ROWS
    deal(team, net.row_ends)


cdef void begin_batch(Net *net, Team *team) noexcept nogil:
    cdef ptrdiff_t i
    net.batch_end = min(net.batch + net.batch_size, net.n_rows)
    net.chunk = net.batch
    net.batch_loss = 0
    if net.weight == NULL:
        net.batch_weight = <double> (net.batch_end - net.batch)
    else:
        net.batch_weight = 0
        for i in range(net.batch, net.batch_end):
            net.batch_weight += net.weight[net.order[i]]
    begin_rows(net, team)


cdef void begin_weights(Net *net, Team *team) noexcept nogil:
    """Deal the blocks of weights; in the batch's last chunk they are updated."""
    cdef Gradient *gradient
    cdef int i
    cdef bint last = net.chunk + net.chunk_rows == net.batch_end
    if last:
        net.update.scale = 1 / net.batch_weight
        net.update.decay = net.alpha / net.batch_weight
        net.update.rate = net.learning_rate
        if net.update.kind == UPDATE_ADAM:  # with the bias corrections of both moments
            net.update.rate *= sqrt(1 - pow(net.update.beta_2, net.t + 1)) / (1 - pow(net.update.beta_1, net.t + 1))
    for i in range(net.n_layers):
        gradient = &net.layers[i].gradient
        gradient.rows = net.chunk_rows
        gradient.add = net.chunk > net.batch
        gradient.finish = last
    net.phase = WEIGHTS
    deal(team, net.shares)


cdef bint end_run(Net *net, int status) noexcept nogil:
    net.status = status
    return False


cdef bint end_batch(Net *net, Team *team) noexcept nogil:
    """On to the next batch, if there is one."""
    net.step += 1
    net.batch = net.batch_end
    if net.batch >= net.n_rows:
        return end_run(net, FINISHED)
    begin_batch(net, team)
    return True


cdef bint advance(void *context) noexcept nogil:
    """Called when all jobs of a phase are done: add up what they left, and deal the next phase. False: the run has ended."""
    cdef Session_ *session = <Session_ *> context
    cdef Net *net = &session.net
    cdef Team *team = &session.team
    if net.stop:
        return end_run(net, STOPPED)
    if net.phase == BEFORE:
        begin_batch(net, team)
        return True
    if net.phase == ROWS:
        if net.mode != PREDICT:
            net.batch_loss += add_up(net.row_loss, net.chunk_rows)
            if net.chunk + net.chunk_rows == net.batch_end:
                if net.batch_weight == 0:  # nothing to learn from: no loss, no update
                    return end_batch(net, team)
                net.batch_loss = (net.batch_loss + 0.5 * net.alpha * net.squares) / net.batch_weight
                if net.mode == TRAIN and not isfinite(net.batch_loss):
                    return end_run(net, NON_FINITE)
                net.total_loss += net.batch_loss * <double> (net.batch_end - net.batch)
            begin_weights(net, team)
            return True
    elif net.chunk + net.chunk_rows == net.batch_end:
        if net.mode == TRAIN:
            net.t += 1
            net.squares = sum_squares(net)
            if not isfinite(net.squares):
                return end_run(net, NON_FINITE)
        return end_batch(net, team)
    net.chunk += net.chunk_rows
    if net.chunk == net.batch_end:
        return end_batch(net, team)
    begin_rows(net, team)
    return True
