#include "native/runtime/link/control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>

#include "native/runtime/json_line.h"
#include "native/runtime/threads.h"

namespace rtu::runtime::link {
namespace {

constexpr int kPollMs = 50;
constexpr int kNextMs = 1;
constexpr int kStoppingMs = 5;
constexpr int64_t kMonitorNs = 100 * kNsPerMs;
constexpr int64_t kAliveNs = 50 * kNsPerMs;
constexpr int64_t kEstopNs = 3 * kNsPerS;
constexpr int64_t kSliceNs = 20 * kNsPerMs;
constexpr int64_t kReadLinkNs = 50 * kNsPerMs;
constexpr int64_t kRefusedNs = 50 * kNsPerMs;

constexpr int kGroupsMax = 256;

// Whether a client's user may open the device for writing, by the owner, group and mode of its node.
bool may_open(int device, int client, const ucred& peer) noexcept {
  struct stat node{};
  if (fstat(device, &node) != 0 || !S_ISCHR(node.st_mode)) return false;
  if (peer.uid == node.st_uid) return (node.st_mode & S_IWUSR) != 0;
  gid_t groups[kGroupsMax];
  socklen_t size = sizeof groups;
  bool member = peer.gid == node.st_gid;
  if (getsockopt(client, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
    for (size_t i = 0; i < size / sizeof groups[0]; ++i) member = member || groups[i] == node.st_gid;
  }
  return (node.st_mode & (member ? S_IWGRP : S_IWOTH)) != 0;
}

void add_observations(const record::StatusBoard& board, JsonLine* line) noexcept {
  double x[kMaxObservations];
  const int n = board.observation_size.load(std::memory_order_relaxed);
  if (n <= 0 || n > kMaxObservations) return;
  for (int i = 0; i < n; ++i) x[i] = static_cast<double>(board.observations[i].load(std::memory_order_relaxed));
  line->list("observations", x, n);
}

void add_companions(const record::StatusBoard& board, int64_t now_ns, JsonLine* line) noexcept {
  constexpr int kMax = record::kMaxCompanionStatus;
  const int n = board.n_companions.load(std::memory_order_relaxed);
  if (n <= 0 || n > kMax) return;
  double state[kMax], age_ms[kMax], ttl_ms[kMax], lost[kMax];
  for (int i = 0; i < n; ++i) {
    const record::CompanionStatus& each = board.companions[i];
    const int64_t newest_ns = each.newest_ns.load(std::memory_order_relaxed);
    state[i] = each.device_state.load(std::memory_order_relaxed);
    age_ms[i] = newest_ns == 0 ? NAN : static_cast<double>(now_ns > newest_ns ? now_ns - newest_ns : 0) * 1e-6;
    ttl_ms[i] = static_cast<double>(each.ttl_ns.load(std::memory_order_relaxed)) * 1e-6;
    lost[i] = static_cast<double>(each.lost.load(std::memory_order_relaxed));
  }
  line->open("companions");
  line->list("device_state", state, n);
  line->list("age_ms", age_ms, n);
  line->list("ttl_ms", ttl_ms, n);
  line->list("lost", lost, n);
  line->close();
}

}  // namespace

int ControlServer::start(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) return errno;
  unlink(path.c_str());
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0666) != 0 || lstat(path.c_str(), &bound_) != 0 || listen(listener_, kClientsMax) != 0) {
    const int error = errno;
    ::close(listener_);
    listener_ = -1;
    return error;
  }
  path_ = path;
  stop_.store(false);
  thread_ = start_thread("rtu-control", [this] { serve(); });
  return 0;
}

void ControlServer::stop() {
  if (!thread_.joinable()) return;
  stop_.store(true);
  thread_.join();
  for (Client& client : clients_) drop(&client);
  struct stat there{};  // a socket bound there since then belongs to another server
  if (lstat(path_.c_str(), &there) == 0 && there.st_ino == bound_.st_ino && there.st_dev == bound_.st_dev) {
    unlink(path_.c_str());
  }
  ::close(listener_);
  listener_ = -1;
}

void ControlServer::serve() noexcept {
  int64_t notified_ns = 0;
  for (bool leaving = false; !leaving || stopping_;) {
    leaving = stop_.load();  // then no new command is read, and only the current stop continues
    pollfd entries[1 + kClientsMax];
    const bool full = link_.clock().now() < accept_from_ns_;
    entries[0] = {leaving || full ? -1 : listener_, POLLIN, 0};
    int patience_ms = stopping_ ? kStoppingMs : kPollMs;
    for (int i = 0; i < kClientsMax; ++i) {
      const Client& client = clients_[i];
      const bool waits = client.waits();
      entries[1 + i] = {leaving || waits || client.stopping ? -1 : client.fd, POLLIN, 0};
      if (waits && !client.stopping) patience_ms = kNextMs;
    }
    if (poll(entries, 1 + kClientsMax, patience_ms) < 0) continue;
    for (int i = 0; i < kClientsMax && !leaving; ++i) {
      if (entries[1 + i].revents != 0) read_client(&clients_[i]);
      execute_next(&clients_[i]);
    }
    if (entries[0].revents & POLLIN) accept_client();
    stopping_ ? pursue_estop(leaving) : read_link();
    const int64_t now = link_.clock().now();
    if (now - notified_ns < kMonitorNs) continue;
    notified_ns = now;
    for (Client& client : clients_) {
      if (client.fd >= 0 && client.monitor) send_status(&client);
    }
  }
}

// When accept() fails for lack of descriptors or memory, the client stays in the queue and poll() would return
// immediately every time: retry after a delay instead.
void ControlServer::accept_client() noexcept {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) accept_from_ns_ = link_.clock().now() + kRefusedNs;
    return;
  }
  const Trust trust = trust_of(fd);
  Client* const client = trust == Trust::kNone ? nullptr : take_place();
  if (client == nullptr) {
    ::close(fd);
    return;
  }
  client->fd = fd;
  client->trust = trust;
  client->asked_ns = link_.clock().now();
}

ControlServer::Trust ControlServer::trust_of(int client) const noexcept {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return Trust::kNone;
  if (peer.uid == 0 || peer.uid == geteuid()) return Trust::kAll;
  return may_open(device_, client, peer) ? Trust::kEstop : Trust::kNone;
}

// A free slot, or the slot of the client that has been idle longest, monitors first: an idle client cannot block an
// emergency stop. Null if every slot has an emergency stop.
ControlServer::Client* ControlServer::take_place() noexcept {
  Client* oldest = nullptr;
  for (Client& client : clients_) {
    if (client.fd < 0) return &client;
    if (client.stopping) continue;
    const bool older =
        oldest == nullptr || (client.monitor == oldest->monitor ? client.asked_ns < oldest->asked_ns : oldest->monitor);
    if (older) oldest = &client;
  }
  if (oldest != nullptr) drop(oldest);
  return oldest;
}

bool ControlServer::Client::waits() const noexcept { return used >= kLineRoom || memchr(text, '\n', used) != nullptr; }

// Reads a chunk after the previous one is processed, so there is space, and the end of the stream is seen after all
// data.
void ControlServer::read_client(Client* client) noexcept {
  const ssize_t n = recv(client->fd, client->text + client->used, sizeof client->text - client->used, 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) return drop(client);
  client->used += static_cast<size_t>(n);
}

void ControlServer::execute_next(Client* client) noexcept {
  if (client->stopping) return;
  const void* end = memchr(client->text, '\n', client->used);
  const size_t size = end == nullptr ? client->used : static_cast<size_t>(static_cast<const char*>(end) - client->text);
  if (size >= kLineRoom) {
    send_text(client, "{\"event\":\"error\",\"message\":\"a line of 64 bytes or more\"}\n");
    return drop(client);
  }
  if (end == nullptr) return;
  char line[kLineRoom];
  memcpy(line, client->text, size);
  line[size] = 0;
  client->used -= size + 1;
  memmove(client->text, client->text + size + 1, client->used);
  execute(client, line);
}

void ControlServer::execute(Client* client, const char* line) noexcept {
  client->asked_ns = link_.clock().now();
  if (strcmp(line, "estop") == 0) return estop(client);
  if (client->trust != Trust::kAll) {
    return send_text(client, "{\"event\":\"error\",\"message\":\"another user's port: only estop\"}\n");
  }
  if (strcmp(line, "status") == 0) return send_status(client);
  if (strcmp(line, "channels") == 0) return send_channels(client);
  if (strncmp(line, "arm ", 4) == 0) return arm(client, line + 4);
  if (strcmp(line, "monitor") == 0) {
    client->monitor = true;
    return;
  }
  send_text(client, "{\"event\":\"error\",\"message\":\"commands: estop, status, monitor, channels, arm\"}\n");
}

// A running loop sees the request at its next check, stops and releases the link.
void ControlServer::estop(Client* client) noexcept {
  stopping_ ? link_.request_estop() : link_.open_estop();
  stopping_ = true;
  estop_ns_ = client->notified_ns = client->asked_ns;
  client->stopping = true;
  char text[80];
  snprintf(text, sizeof text, "{\"event\":\"accepted\",\"pid\":%d}\n", static_cast<int>(getpid()));
  send_text(client, text);
}

// Once the loop has released the link, or at once if none runs, this thread sends ESTOP itself: only the device's STATE
// counts as success. Meanwhile the clients that requested the stop receive "waiting".
void ControlServer::pursue_estop(bool leaving) noexcept {
  bool confirmed = false;
  bool free = false;
  {
    const LinkOwner owner(link_);
    free = static_cast<bool>(owner);
    if (free) confirmed = link_.estop(kSliceNs);
  }
  const int64_t now = link_.clock().now();
  // Continue until confirmed, even while the server shuts down, as long as the link is free.
  const bool over = confirmed || now - estop_ns_ >= kEstopNs || (leaving && !free);
  for (Client& client : clients_) {
    if (!client.stopping) continue;
    if (over || now - client.asked_ns >= kEstopNs) {
      client.stopping = false;
      send_text(&client, confirmed ? "{\"event\":\"estop\",\"confirmed\":true}\n"
                                   : "{\"event\":\"estop\",\"confirmed\":false}\n");
    } else if (now - client.notified_ns >= kAliveNs) {
      client.notified_ns = now;
      send_text(&client, "{\"event\":\"waiting\"}\n");
    }
  }
  if (!over) return;
  stopping_ = false;
  link_.close_estop();
}

// Reads what the device sends while no loop runs: its STATE, which `status` reports.
void ControlServer::read_link() noexcept {
  const int64_t now = link_.clock().now();
  if (now - link_read_ns_ < kReadLinkNs) return;
  link_read_ns_ = now;
  const LinkOwner owner(link_);
  if (owner) link_.discard_input();
}

// Only requests: the owner, which waits for it, arms. A number is valid once, and must consist of digits only.
void ControlServer::arm(Client* client, const char* number) noexcept {
  const size_t digits = strspn(number, "0123456789");
  uint32_t token = digits <= 9 && number[digits] == 0 ? static_cast<uint32_t>(strtoul(number, nullptr, 10)) : 0;
  const bool accepted = token != 0 && link_.arm_token.compare_exchange_strong(token, 0, std::memory_order_acq_rel);
  if (accepted) link_.arm_requests.fetch_add(1, std::memory_order_release);
  send_text(client, accepted ? "{\"event\":\"arm\",\"accepted\":true}\n" : "{\"event\":\"arm\",\"accepted\":false}\n");
}

void ControlServer::send_status(Client* client) noexcept {
  const record::StatusBoard& board = link_.board;
  const record::LinkCounters& counters = link_.counters();
  const LinkQuality& quality = link_.meter.quality;
  JsonLine line;
  line.open(nullptr);
  line.text("event", "status");
  line.count("pid", static_cast<uint64_t>(getpid()));
  line.flag("running", board.running.load(std::memory_order_relaxed));
  line.text("reason", record::stop_reason_name(board.reason.load(std::memory_order_relaxed)));
  line.count("steps", board.steps.load(std::memory_order_relaxed));
  line.count("episodes", board.episodes.load(std::memory_order_relaxed));
  line.count("episode_steps", board.episode_steps.load(std::memory_order_relaxed));
  line.number("mean_return", board.mean_return.load(std::memory_order_relaxed));
  line.number("mean_reward", board.mean_reward.load(std::memory_order_relaxed));
  line.number("sigma", board.sigma.load(std::memory_order_relaxed));
  line.number("entropy", board.entropy.load(std::memory_order_relaxed));
  line.count("findings", board.findings.load(std::memory_order_relaxed));
  line.number("device_state", board.device_state.load(std::memory_order_relaxed));
  line.count("turns", board.turns.load(std::memory_order_relaxed));
  line.count("arm_token", link_.arm_token.load(std::memory_order_relaxed));
  line.count("mode", board.mode.load(std::memory_order_relaxed));
  line.count("learner_monitor", board.learner_monitor.load(std::memory_order_relaxed));
  line.count("check", board.check.load(std::memory_order_relaxed));
  line.flag("homing", board.homing.load(std::memory_order_relaxed));
  line.open("counters");
#define X(name) line.count(#name, counters.name.get());
  RTU_RUNTIME_LINK_COUNTERS(X)
#undef X
#define X(name) line.count(#name, board.counters.name.get());
  RTU_RUNTIME_LOOP_COUNTERS(X)
#undef X
  line.close();
  line.open("supervisor");
#define X(name) \
  if (const uint64_t count = board.supervisor.name.get(); count != 0) line.count(#name, count);
  RTU_RUNTIME_SUPERVISOR_COUNTERS(X)
#undef X
  line.close();
  line.open("link");
#define X(name) line.number(#name, quality.name.get());
  RTU_RUNTIME_QUALITY_GAUGES(X)
#undef X
#define X(name) line.count(#name, quality.name.get());
  RTU_RUNTIME_QUALITY_COUNTS(X)
#undef X
  line.open("device");
#define X(name, index) line.number(#name, quality.device[TL_COUNTER_##index].get());
  RTU_RUNTIME_DEVICE_COUNTS(X)
#undef X
  line.close();
  line.close();
  add_observations(board, &line);
  add_companions(board, link_.clock().now(), &line);
  line.close();
  send_text(client, line.end());
}

void ControlServer::send_channels(Client* client) noexcept {
  const std::lock_guard<std::mutex> lock(link_.channels_guard);
  send_text(client, link_.channels.empty() ? "{\"event\":\"channels\"}\n" : link_.channels.c_str());
}

// A client that does not read is dropped: the server never waits for it.
void ControlServer::send_text(Client* client, const char* text) noexcept {
  const size_t size = strlen(text);
  if (send(client->fd, text, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) drop(client);
}

void ControlServer::drop(Client* client) noexcept {
  if (client->fd >= 0) ::close(client->fd);
  *client = Client{};
}

}  // namespace rtu::runtime::link
