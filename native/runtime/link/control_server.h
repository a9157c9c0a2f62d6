// The control socket of the owner of a port: text lines in, JSON lines out, on a separate thread that never blocks the
// loop.
//
//   estop    {"event":"accepted","pid":..} at once, {"event":"waiting"} each 50 ms, then
//            {"event":"estop","confirmed":true|false}
//   status   {"event":"status",...}
//   arm N    {"event":"arm","accepted":true|false}: true where the owner waits for it and N is the number that
//            status gives as "arm_token"
//   monitor  a status each 100 ms until the client leaves
// The owner's user and root may use all commands. A user who may open the device for writing may use estop only. All
// other clients are dropped at once. The server executes one command per client and turn; a client that sent more waits
// a millisecond for the next, so that no client can starve the others. An emergency stop is processed in slices, one
// per turn, so that a second request is served meanwhile. A line of 64 bytes or more is answered with an error and its
// sender is dropped. Clients that do not read the answers are dropped too and, when all slots are taken and a new
// client connects, the client that has been idle longest.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "native/runtime/link/link.h"

namespace rtu::runtime::link {

class ControlServer {
 public:
  // device: the descriptor of the port; the caller keeps and closes it.
  ControlServer(Link& link, int device) : link_(link), device_(device) {}
  ~ControlServer() { stop(); }
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Binds and starts to serve. The caller holds the port's owner lock, so a file left at the path is stale. Returns 0
  // or an errno.
  int start(const std::string& path);
  void stop();  // idempotent

 private:
  static constexpr int kClientsMax = 8;
  static constexpr size_t kLineRoom = 64;  // a line and its terminating 0
  enum class Trust { kNone, kEstop, kAll };
  struct Client {
    int fd = -1;
    Trust trust = Trust::kNone;
    bool monitor = false;
    bool stopping = false;    // requested an emergency stop and waits for the answer
    int64_t asked_ns = 0;     // time of its last request, or of the connection
    int64_t notified_ns = 0;  // time of the last "waiting"
    char text[256];           // received, not yet executed
    size_t used = 0;

    bool waits() const noexcept;  // a complete line is there, or one that is too long
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
  void send_channels(Client* client) noexcept;
  void send_text(Client* client, const char* text) noexcept;
  void drop(Client* client) noexcept;

  Link& link_;
  int device_;
  std::string path_;
  struct stat bound_{};  // the socket at the path, while this server owns it
  int listener_ = -1;
  Client clients_[kClientsMax];
  int64_t accept_from_ns_ = 0;
  int64_t link_read_ns_ = 0;
  bool stopping_ = false;  // an emergency stop is in progress, even if the client has disconnected
  int64_t estop_ns_ = 0;   // time of the last request
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace rtu::runtime::link
