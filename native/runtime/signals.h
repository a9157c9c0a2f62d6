// SIGINT, SIGTERM and SIGHUP while a loop runs: counted in the handler, read by the loop at each tick.
#pragma once

namespace rtu::runtime {

// Installs the handlers and starts counting at 0. Nested calls are counted; only the first installs. A SIGHUP that is
// ignored (nohup) stays ignored.
void catch_signals() noexcept;

// Restores the handlers when the last catch_signals() is undone.
void release_signals() noexcept;

// Number of signals since catch_signals(). A SIGHUP can only count as the first, never as the second: for a closing
// terminal the kernel sends one and the shell another, and systemd may send one after its SIGTERM; that is not a second
// request.
int signals_caught() noexcept;

}  // namespace rtu::runtime
