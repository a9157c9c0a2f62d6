//! A control loop in Rust: cartpole.c with the agent as a value that owns its memory.
mod rtu_edge;

use rtu_edge::{Agent, Config, Error};

const GOAL: f64 = 200.0; // steps of 20 ms per episode, of at most 500; before learning: about 40
const EPISODE: usize = 500;
const TRAINING: usize = 100_000; // steps

#[derive(Default)]
struct Plant {
    random: u32,
    x: f32,     // m
    v: f32,     // m/s
    angle: f32, // rad
    rate: f32,  // rad/s
    steps: usize,
}

impl Plant {
    /// -0.05 to 0.05
    fn uniform(&mut self) -> f32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.random >> 8) as f32 / 16_777_216.0 - 0.5) * 0.1
    }

    fn start(&mut self) {
        self.x = self.uniform();
        self.v = self.uniform();
        self.angle = self.uniform();
        self.rate = self.uniform();
        self.steps = 0;
    }

    /// Force in N; true when the pole has fallen or the cart left its track.
    fn advance(&mut self, force: f32) -> bool {
        let (sine, cosine) = (self.angle.sin(), self.angle.cos());
        let push = (force + 0.05 * self.rate * self.rate * sine) / 1.1;
        let turn = (9.8 * sine - cosine * push) / (0.5 * (4.0 / 3.0 - 0.1 * cosine * cosine / 1.1));
        self.x += 0.02 * self.v;
        self.v += 0.02 * (push - 0.05 * turn * cosine / 1.1);
        self.angle += 0.02 * self.rate;
        self.rate += 0.02 * turn;
        self.steps += 1;
        self.x.abs() > 2.4 || self.angle.abs() > 0.209
    }
}

/// One control period: act on the newest observation, then learn from the transition that led to it.
fn control(agent: &mut Agent, plant: &Plant, reward: f32, ends: (bool, bool), learn: bool) -> Result<f32, Error> {
    let mut action = [0.0];
    agent.predict(&[plant.x, plant.angle], learn, &mut action)?;
    // A real loop sends the action here, learns while the actuator moves, and then waits for the next period.
    if learn {
        agent.update(reward, ends.0, ends.1)?;
    }
    Ok(action[0])
}

/// Drives for a number of steps; returns the mean length of the last 10 episodes.
fn drive(agent: &mut Agent, seed: u32, steps: usize, learn: bool) -> Result<f64, Error> {
    let mut plant = Plant { random: seed, ..Plant::default() };
    let mut lengths = Vec::new();
    let mut left = steps;
    while left > 0 {
        plant.start();
        agent.begin()?;
        let mut action = control(agent, &plant, 0.0, (false, false), learn)?;
        let mut over = false;
        while !over && left > 0 {
            let fallen = plant.advance(10.0 * action);
            over = fallen || plant.steps == EPISODE;
            action = control(agent, &plant, 1.0, (fallen, over && !fallen), learn)?;
            if over {
                lengths.push(plant.steps);
            }
            left -= 1;
        }
    }
    let last = &lengths[lengths.len() - 10..];
    Ok(last.iter().sum::<usize>() as f64 / 10.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let path = arguments.get(1).map_or("cartpole.rtu", String::as_str);
    let mut config = Config::new();
    config.observation_size = 2;
    config.actions = 1;
    config.seed = arguments.get(2).map_or(Ok(3), |text| text.parse())?;
    rtu_edge::flush_denormals();
    let mut agent = Agent::new(&config)?;
    let learned = drive(&mut agent, 1, TRAINING, true)?;
    std::fs::write(path, agent.checkpoint()?)?;

    let mut loaded = Agent::new(&config)?;
    loaded.load(&std::fs::read(path)?)?;
    let same = loaded.hash()? == agent.hash()?;
    let driven = drive(&mut loaded, 2, 10 * EPISODE, false)?;
    println!("learned to {learned:.1} steps, loaded and driven for {driven:.1}, state {:016x}", agent.hash()?);
    if same && learned >= GOAL && driven >= GOAL {
        Ok(())
    } else {
        Err("it did not learn to balance the pole".into())
    }
}
