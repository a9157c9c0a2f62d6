// SIGINT, SIGTERM and SIGHUP while a loop runs: counted in the handler, read by the loop at each tick.
#pragma once

namespace rtu::runtime {

// Takes the signals over and starts counting at 0. Nested calls count; only the first installs. A SIGHUP that is
// ignored (nohup) stays ignored.
void catch_signals() noexcept;

// Restores the handlers, with the last catch_signals() undone.
void release_signals() noexcept;

// Signals that have come since catch_signals(). SIGHUP is the first at most and never the second: a terminal that
// closes sends one by the kernel and another by the shell, and systemd may send one after its SIGTERM; that is not a
// second request.
int signals_caught() noexcept;

}  // namespace rtu::runtime
