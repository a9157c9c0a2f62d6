// The control socket of the owner of a port: lines in, JSON lines out, on a thread of its own that never blocks the
// loop.
//
//   estop    {"event":"accepted","pid":..} at once, {"event":"waiting"} each 50 ms, then
//            {"event":"estop","confirmed":true|false}
//   status   {"event":"status",...}
//   arm N    {"event":"arm","accepted":true|false}: true where the owner waits for it and N is the number that
//            status gives as "arm_token"
//   monitor  a status each 100 ms until the client leaves
// All commands are for the owner's user and for root. A user who may open the device for writing may stop it too: of
// such a client only estop is executed. All others are dropped at once. Each client has one command executed a turn,
// and one that has sent more waits a millisecond for its next: however much a client sends, the others are served. An
// emergency stop is pursued a slice a turn, so that a second one is heard too. A line of 64 bytes or more is answered
// with an error, and its sender dropped; so is who does not read the answers, and where all places are taken, to make
// room for a new client, the one that has asked for nothing for longest.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <string>
#include <thread>

#include "native/runtime/link/link.h"

namespace rtu::runtime::link {

class ControlServer {
 public:
  // device: the descriptor of the port; it stays the caller's.
  ControlServer(Link& link, int device) : link_(link), device_(device) {}
  ~ControlServer() { stop(); }
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Binds and starts to serve; the caller holds the lock of the port's only owner, so that a file left at
  // the path is a dead one. Returns 0, or an errno.
  int start(const std::string& path);
  void stop();  // twice is harmless

 private:
  static constexpr int kClientsMax = 8;
  static constexpr size_t kLineRoom = 64;  // a line and the 0 behind it
  enum class Trust { kNone, kEstop, kAll };
  struct Client {
    int fd = -1;
    Trust trust = Trust::kNone;
    bool monitor = false;
    bool stopping = false;    // has asked for an emergency stop, and waits for the answer
    int64_t asked_ns = 0;     // when it last asked for something, or came
    int64_t notified_ns = 0;  // that its emergency stop is being pursued
    char text[256];           // received, not yet executed
    size_t used = 0;

    bool waits() const noexcept;  // a whole line is there, or too much of one
  };

  void serve() noexcept;
  void accept_client() noexcept;
  Trust trust_of(int client) const noexcept;
  Client* take_place() noexcept;
  void read_client(Client* client) noexcept;
  void execute_next(Client* client) noexcept;
  void execute(Client* client, const char* line) noexcept;
  void estop(Client* client) noexcept;
  void pursue_estop(bool leaving) noexcept;
  void read_link() noexcept;
  void arm(Client* client, const char* number) noexcept;
  void send_status(Client* client) noexcept;
  void send_text(Client* client, const char* text) noexcept;
  void drop(Client* client) noexcept;

  Link& link_;
  int device_;
  std::string path_;
  struct stat bound_{};  // the socket at the path, as long as it is ours
  int listener_ = -1;
  Client clients_[kClientsMax];
  int64_t accept_from_ns_ = 0;
  int64_t link_read_ns_ = 0;
  bool stopping_ = false;  // an emergency stop is being pursued, also where the client has left
  int64_t estop_ns_ = 0;   // when it was last asked for
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace rtu::runtime::link
