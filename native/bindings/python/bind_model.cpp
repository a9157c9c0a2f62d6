// The instruction set, and functions shared by all learners.
#include "native/bindings/python/model.h"

#include "native/bindings/python/configuration.h"

namespace rtu::bindings {

namespace {
const kernels::Kernels<float>* chosen = nullptr;

// (name, dtype, shape) of a checkpoint's section row.
py::tuple section_row(const unsigned char* at) {
  uint32_t words[4];
  std::memcpy(words, at + core::kNameBytes, sizeof words);
  const py::tuple shape =
      words[1] != 0 ? py::tuple(py::make_tuple(words[2], words[3])) : py::tuple(py::make_tuple(words[2]));
  const auto* bytes_of_name = reinterpret_cast<const char*>(at);
  const auto length = static_cast<Py_ssize_t>(strnlen(bytes_of_name, core::kNameBytes));
  const auto name = py::reinterpret_steal<py::str>(PyUnicode_DecodeUTF8(bytes_of_name, length, "replace"));
  return py::make_tuple(name, numpy_dtype(static_cast<core::DType>(words[0])), shape);
}

// (status, version, text, sections, extra bytes): status 0 when the frame of the checkpoint is intact.
py::tuple open_checkpoint(const py::bytes& data) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(data.ptr()));
  const auto n = static_cast<uint64_t>(PyBytes_GET_SIZE(data.ptr()));
  core::CheckpointHeader header{};
  core::Status status = core::open_checkpoint(bytes, n, header);
  if (status == core::Status::kOk && header.sections > core::kMaxSections) status = core::Status::kBadLayout;
  py::list sections;
  py::bytes text, beside;
  if (status == core::Status::kBadVersion) std::memcpy(&header.version, bytes + 8, sizeof header.version);
  if (status == core::Status::kOk) {
    text = py::bytes(reinterpret_cast<const char*>(bytes + core::kHeaderBytes), header.text_bytes);
    beside = py::bytes(reinterpret_cast<const char*>(bytes + n - 4 - header.extra_bytes), header.extra_bytes);
    const unsigned char* at = bytes + core::kHeaderBytes + header.text_bytes;
    for (uint32_t i = 0; i < header.sections; ++i, at += core::kSectionBytes) sections.append(section_row(at));
  }
  return py::make_tuple(static_cast<int>(status), header.version, text, sections, beside);
}

// (status, section): 0 when the frame is intact and load() accepts every value.
py::tuple check_checkpoint(const py::bytes& data) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(data.ptr()));
  const auto n = static_cast<uint64_t>(PyBytes_GET_SIZE(data.ptr()));
  core::CheckpointHeader header{};
  const char* where = nullptr;
  core::Status status = core::Status::kOk;
  {
    py::gil_scoped_release release;
    status = core::open_checkpoint(bytes, n, header);
    if (!core::failed(status)) status = core::check_values(header, bytes, where);
  }
  return py::make_tuple(static_cast<int>(status),
                        where == nullptr ? std::string() : std::string(where, strnlen(where, core::kNameBytes)));
}

}  // namespace

template <>
const kernels::Kernels<float>* kernels_for<float>() {
  return chosen;
}
template <>
const kernels::Kernels<double>* kernels_for<double>() {
  return kernels::kScalarDouble;
}

void bind_model(py::module_& m) {
  const char* forced = std::getenv("RTU_EDGE_ISA");
  const char* error = nullptr;
  chosen = runtime::choose_kernels(forced, error);
  if (chosen == nullptr) throw py::import_error("RTU_EDGE_ISA=" + std::string(forced) + " " + error);
  m.attr("isa") = chosen->name;
  m.attr("lanes") = chosen->lanes;
  m.def("available_isas", [] {
    const kernels::Kernels<float>* tables[5];
    const int n = runtime::available_kernels(tables);
    py::list names;
    for (int i = 0; i < n; ++i) names.append(tables[i]->name);
    return py::tuple(names);
  });
  m.attr("checkpoint_version") = core::kCheckpointVersion;
  m.attr("oldest_checkpoint_version") = core::kOldestCheckpointVersion;
  m.attr("max_layers") = learners::kMaxLayers;
  m.attr("section_bytes") = sizeof(core::Section);

  m.def("is_cell_parameter", [](const std::string& leaf) { return cells::is_parameter(leaf.c_str()); });
  m.def("open_checkpoint", &open_checkpoint);
  m.def("check_checkpoint", &check_checkpoint);
  py::class_<Model>(m, "Model")
      .def_property_readonly("nbytes", &Model::bytes)
      .def("hash", &Model::hash)
      .def("sections", &Model::sections)
      .def("get", &Model::get, py::arg("name"))
      .def("set", &Model::set, py::arg("name"), py::arg("value"))
      .def("save", &Model::save, py::arg("text"), py::arg("beside") = py::bytes())
      .def("load", &Model::load, py::arg("data"))
      .def("arena", &Model::arena)
      .def("adopt", &Model::adopt, py::arg("arena"))
      .def("flush", &Model::flush);
}

}  // namespace rtu::bindings
