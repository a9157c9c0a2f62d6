// The link to a device for Python: converts arguments and results; the public API is rtu_edge/loop.
#include <errno.h>
#include <pybind11/stl.h>

#include <vector>

#include "native/bindings/python/link.h"
#include "native/bindings/python/one_at_a_time.h"
#include "native/bindings/python/schema.h"

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::link;
namespace {

std::string link_text(LinkStatus status, const char* doing) {
  const std::string prefix = std::string(doing) + ": ";
  switch (status) {
    case LinkStatus::kOk:
      return {};
    case LinkStatus::kTimeout:
      return prefix + "the device did not answer in time";
    case LinkStatus::kGone:
      return prefix + "the port is gone";
    case LinkStatus::kRefused:
      return prefix + "the device refused";
    case LinkStatus::kVersion:
      return prefix + "the device uses another version of the protocol";
    case LinkStatus::kSchema:
      return prefix + "the rows do not fit the device's schema hash";
    case LinkStatus::kRow:
      return prefix + "an invalid row";
    case LinkStatus::kAnother:
      return prefix + "the device has restarted, or is another one";
    case LinkStatus::kBusy:
      return prefix + "the link is in use by a running loop";
  }
  return prefix + "failed";
}

// Runs an exchange with the lock released, unless a loop has the link.
template <class Exchange>
LinkStatus exchange(PyLink& self, Exchange run) {
  if (self.fd < 0) return LinkStatus::kGone;
  py::gil_scoped_release release;
  const LinkOwner owner(self.link, kMomentNs);
  if (!owner) return LinkStatus::kBusy;
  return run(self.link);
}

// The payload of the device's HELLO; an error text if it cannot be used; None on timeout.
py::object handshake(PyLink& self, double timeout_s) {
  tl_hello hello{};
  const LinkStatus status = exchange(self, [&](Link& link) {
    link.discard_input();
    return link.hello(to_ns(timeout_s), &hello);
  });
  if (status == LinkStatus::kTimeout) return py::none();  // hello_input() has the reason
  if (status == LinkStatus::kVersion)
    return py::str("HELLO: the device uses TickLink " + std::to_string(hello.proto_ver) + ", this host TickLink " +
                   std::to_string(TL_PROTO_VERSION) + ": bring both to one version of rtu_edge; nothing was armed");
  if (status != LinkStatus::kOk) return py::str(link_text(status, "HELLO"));
  self.hello = hello;
  return payload_of(hello, tl_hello_pack);
}

// Diagnoses why no device answered the last handshake.
py::dict hello_input(const PyLink& self) {
  const HelloInput& heard = self.link.hello_input;
  const auto kept = static_cast<size_t>(heard.bytes < HelloInput::kKept ? heard.bytes : HelloInput::kKept);
  return py::dict(py::arg("bytes") = heard.bytes, py::arg("damaged") = heard.damaged, py::arg("echoes") = heard.echoes,
                  py::arg("others") = heard.others,
                  py::arg("first") = py::bytes(reinterpret_cast<const char*>(heard.first), kept));
}

// The payloads of its ROWs, or a text.
py::object describe(PyLink& self, double timeout_s) {
  std::vector<tl_row> rows(static_cast<size_t>(self.hello.observation_size) + self.hello.action_size);
  const LinkStatus status =
      exchange(self, [&](Link& link) { return link.describe(self.hello, to_ns(timeout_s), rows.data()); });
  if (status == LinkStatus::kRow)
    return py::str("DESCRIBE: row " + std::to_string(self.link.bad_row) +
                   " of the device's data sheet cannot be used: name and unit must be ASCII without spaces, and its "
                   "fields as TickLink " +
                   std::to_string(self.hello.proto_ver) + " has them");
  if (status != LinkStatus::kOk) return py::str(link_text(status, "DESCRIBE"));
  py::list out;
  for (const tl_row& row : rows) out.append(payload_of(row, tl_row_pack));
  return std::move(out);
}

// An error text, or None.
py::object attend(PyLink& self) {
  const LinkStatus status =
      exchange(self, [](Link& link) { return link.discard_input() ? LinkStatus::kOk : LinkStatus::kGone; });
  if (status == LinkStatus::kGone) return py::str("the port is gone");
  return status == LinkStatus::kOk && self.link.another ? py::object(py::str("the device has restarted: connect again"))
                                                        : py::none();
}

py::bytes captured(const WireRecord& record) {
  return py::bytes(reinterpret_cast<const char*>(record.captured()), record.captured_bytes());
}

// Time from the request to the answer.
struct OpenEstop {
  explicit OpenEstop(Link& link) : link(link) { link.open_estop(); }
  ~OpenEstop() { link.close_estop(); }
  OpenEstop(const OpenEstop&) = delete;
  OpenEstop& operator=(const OpenEstop&) = delete;
  Link& link;
};

void serve_control(PyLink& self, const std::string& path) {
  auto server = std::make_unique<ControlServer>(self.link, self.fd);
  const int error = server->start(path);
  if (error != 0) {
    errno = error;
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
    throw py::error_already_set();
  }
  py::gil_scoped_release release;  // the previous server shuts down, and may have an emergency stop in progress
  const std::lock_guard<std::mutex> lock(self.serving);
  self.server.swap(server);
  server.reset();
}

}  // namespace
}  // namespace rtu::bindings

void bind_link(py::module_& m) {
  using namespace rtu::bindings;
  py::class_<Wire>(m, "Wire");  // made by rtu_edge._testing
  py::class_<PyLink>(m, "Link")
      .def(py::init<int, size_t, const Wire*>(), py::arg("fd"), py::arg("capture_bytes") = 0,
           py::arg("wire") = py::none(), py::keep_alive<1, 4>())
      .def("handshake", one_at_a_time(&handshake))
      .def("hello_input", one_at_a_time(&hello_input))
      .def("describe", one_at_a_time(&describe))
      .def("answer_channels",
           [](PyLink& self, const std::string& line) {
             const std::lock_guard<std::mutex> lock(self.link.channels_guard);
             self.link.channels = line;
           })
      .def("estop",
           [](PyLink& self, double timeout_s) {
             if (self.fd < 0) return false;
             const OpenEstop open(self.link);
             const int64_t give_up_ns = monotonic_clock().now() + to_ns(timeout_s);
             py::gil_scoped_release release;
             for (;;) {
               const LinkOwner owner(self.link);
               const int64_t now = monotonic_clock().now();
               if (owner) return self.link.estop(give_up_ns - now);
               if (now >= give_up_ns) return false;
               monotonic_clock().sleep(now + 5 * kNsPerMs);
             }
           })
      .def("disarm",
           [](PyLink& self, double timeout_s) {
             return exchange(self, [&](Link& link) { return link.disarm(to_ns(timeout_s)); }) == LinkStatus::kOk;
           })
      .def("clear_fault",
           [](PyLink& self, double timeout_s) {
             return exchange(self, [&](Link& link) { return link.clear_fault(to_ns(timeout_s)); }) == LinkStatus::kOk;
           })
      .def_property_readonly("last_session", [](const PyLink& self) { return self.link.last_session; })
      .def_property_readonly("next_session", [](const PyLink& self) { return self.link.next_session(); })
      .def("attend", one_at_a_time(&attend))
      .def("wait_to_arm", [](PyLink& self, uint32_t token) { self.link.arm_token.store(token); })
      .def_property_readonly("estop_requests", [](const PyLink& self) { return self.link.estop_requests.load(); })
      .def_property_readonly("arm_requests", [](const PyLink& self) { return self.link.arm_requests.load(); })
      .def_property_readonly("turns", [](const PyLink& self) { return self.link.board.turns.load(); })
      .def_property_readonly("running", [](const PyLink& self) { return self.link.board.running.load(); })
      .def_property_readonly("wants_port", &PyLink::wants_port)
      // Both close a port, which may wait for its output.
      .def("drop_port", &PyLink::drop_port, py::call_guard<py::gil_scoped_release>())
      .def("replace_port", &PyLink::replace_port, py::call_guard<py::gil_scoped_release>())
      .def("counters", &link_counters)
      .def("quality", &link_quality)
      .def("captured",
           [](const PyLink& self) { return py::make_tuple(captured(self.link.sent), captured(self.link.received)); })
      .def("serve_control", &serve_control)
      .def("forked", &PyLink::forked)
      .def("close", [](PyLink& self) {
        py::gil_scoped_release release;
        self.close();
      });
}
