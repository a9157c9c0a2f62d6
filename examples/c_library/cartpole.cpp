// A control loop in C++: cartpole.c with the agent as an object that owns its memory, and exceptions for errors. A step
// allocates nothing, and throws only for a reading that is not finite.
#include <rtu_edge.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr double kGoal = 200.0;  // steps of 20 ms per episode, of at most 500; before learning: about 40
constexpr int kEpisode = 500;
constexpr int kTraining = 100000;  // steps

class Agent {
 public:
  explicit Agent(const rtu_agent_config& config) {
    const std::size_t bytes = rtu_agent_bytes(&config);
    if (bytes == 0) throw std::invalid_argument("a value of the configuration is out of range");
    memory_.reset(::operator new(bytes, kAlignment));
    check(rtu_agent_init(&config, memory_.get(), bytes, &agent_), "init");
  }

  void begin() { check(rtu_agent_begin(agent_), "begin"); }
  float predict(const float (&observation)[2], bool explore) {
    float action = 0.0f;
    check(rtu_agent_predict(agent_, observation, explore, &action), "predict");
    return action;
  }
  void update(float reward, bool terminated, bool truncated) {
    check(rtu_agent_update(agent_, reward, terminated, truncated, nullptr), "update");
  }
  unsigned long long hash() {
    std::uint64_t found = 0;
    check(rtu_agent_hash(agent_, &found), "hash");
    return found;
  }
  void save(const std::string& path) {
    std::vector<char> data(rtu_agent_checkpoint_bytes(agent_, 0));
    check(rtu_agent_checkpoint_write(agent_, nullptr, 0, data.data(), data.size()), "write");
    std::ofstream file(path, std::ios::binary);
    if (!file.write(data.data(), static_cast<std::streamsize>(data.size())).flush()) throw std::runtime_error(path);
  }
  void load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> data{std::istreambuf_iterator<char>(file), {}};
    check(rtu_agent_checkpoint_read(agent_, data.data(), data.size()), "read");
  }

 private:
  static constexpr std::align_val_t kAlignment{RTU_AGENT_ALIGNMENT};
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, kAlignment); }
  };
  static void check(std::int32_t status, const char* what) {
    if (status != RTU_OK) throw std::runtime_error(std::string(what) + ": status " + std::to_string(status));
  }

  std::unique_ptr<void, Free> memory_;
  rtu_agent* agent_ = nullptr;  // in that memory
};

struct Plant {
  unsigned random;
  float x = 0.0f, v = 0.0f, angle = 0.0f, rate = 0.0f;  // m, m/s, rad, rad/s
  int steps = 0;

  float uniform() {  // -0.05 to 0.05
    random = random * 1664525u + 1013904223u;
    return (static_cast<float>(random >> 8) / 16777216.0f - 0.5f) * 0.1f;
  }
  void start() {
    x = uniform();
    v = uniform();
    angle = uniform();
    rate = uniform();
    steps = 0;
  }
  bool advance(float force) {  // N; true when the pole has fallen or the cart left its track
    const float sine = std::sin(angle), cosine = std::cos(angle);
    const float push = (force + 0.05f * rate * rate * sine) / 1.1f;
    const float turn = (9.8f * sine - cosine * push) / (0.5f * (4.0f / 3.0f - 0.1f * cosine * cosine / 1.1f));
    x += 0.02f * v;
    v += 0.02f * (push - 0.05f * turn * cosine / 1.1f);
    angle += 0.02f * rate;
    rate += 0.02f * turn;
    steps += 1;
    return std::abs(x) > 2.4f || std::abs(angle) > 0.209f;
  }
};

// One control period: act on the newest observation, then learn from the transition that led to it.
float control(Agent& agent, const Plant& plant, float reward, bool fallen, bool truncated, bool learn) {
  const float action = agent.predict({plant.x, plant.angle}, learn);
  // A real loop sends the action here, learns while the actuator moves, and then waits for the next period.
  if (learn) agent.update(reward, fallen, truncated);
  return action;
}

// Drives for a number of steps; returns the mean length of the last 10 episodes.
double drive(Agent& agent, unsigned seed, int steps, bool learn) {
  Plant plant{seed};
  std::vector<int> lengths;
  while (steps > 0) {
    plant.start();
    agent.begin();
    float action = control(agent, plant, 0.0f, false, false, learn);
    for (bool over = false; !over && steps > 0; --steps) {
      const bool fallen = plant.advance(10.0f * action);
      over = fallen || plant.steps == kEpisode;
      action = control(agent, plant, 1.0f, fallen, over && !fallen, learn);
      if (over) lengths.push_back(plant.steps);
    }
  }
  return std::accumulate(lengths.end() - 10, lengths.end(), 0.0) / 10.0;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string path = argc > 1 ? argv[1] : "cartpole.rtu";
  rtu_agent_config config;
  rtu_agent_config_init(&config);
  config.observation_size = 2;
  config.actions = 1;
  config.seed = argc > 2 ? std::stoull(argv[2]) : 3;
  rtu_edge_flush_denormals();
  Agent agent(config);
  const double learned = drive(agent, 1, kTraining, true);
  agent.save(path);

  Agent loaded(config);
  loaded.load(path);
  const bool same = loaded.hash() == agent.hash();
  const double driven = drive(loaded, 2, 10 * kEpisode, false);
  std::printf("learned to %.1f steps, loaded and driven for %.1f, state %016llx\n", learned, driven, agent.hash());
  return same && learned >= kGoal && driven >= kGoal ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
