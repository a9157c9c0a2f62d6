// SIGINT and SIGTERM while a loop runs: counted in the handler, looked at by the loop at each tick.
#ifndef RTU_RUNTIME_SIGNALS_H
#define RTU_RUNTIME_SIGNALS_H

namespace rtu::runtime {

// Takes the two signals over and starts counting at 0. Nested calls count; only the first installs.
void catch_signals() noexcept;

// Gives them back to whoever had them, with the last catch_signals() undone.
void release_signals() noexcept;

// Signals that have come since catch_signals().
int signals_caught() noexcept;

}  // namespace rtu::runtime

#endif
