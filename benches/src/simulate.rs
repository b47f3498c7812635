//! A model of a deployment under load: API Gateway's authorizer cache, Lambda's sandboxes, the process's decision cache
//! and the table's partitions, event by event. `docs/scale.md` says what it leaves out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Simulated time: nanoseconds.
type Nanos = u64;
const SECOND: Nanos = 1_000_000_000;
const MILLISECOND: Nanos = 1_000_000;

/// When a run begins. Not at 0, so that what is there at the beginning can be older.
const BEGIN: Nanos = 10_000 * SECOND;
/// Life of a token, in seconds (`expires_in`).
const TOKEN_SECONDS: u64 = 3600;
/// Read units (RRU) per second that DynamoDB serves from one partition.
const PARTITION_READS: f64 = 3000.0;
/// Copies of the catalog's version (`VERSION_COPIES` in `auth-store/src/keys.rs`).
const VERSION_COPIES: usize = 16;
/// Answers that a process keeps at most (`KEPT` in `auth-store/src/store.rs`).
const KEPT: usize = 10_000;
/// How often a batch is sent that came back in part (`BATCH_TRIES` in `auth-store/src/store.rs`).
const BATCH_TRIES: u8 = 4;
/// How often the SDK sends a batch of which nothing was served, and its first pause (`auth-store/src/aws.rs`).
const ATTEMPTS: u8 = 3;
const FIRST_PAUSE: Nanos = 50 * MILLISECOND;
/// Invocations per second that Lambda allows for each unit of concurrency.
const INVOCATIONS_PER_SANDBOX: f64 = 10.0;
/// About so many revocations are followed in a run.
const REVOCATIONS: f64 = 500.0;

/// Prices, USD, us-east-1, as others quoted them (Lambda: May 2026, DynamoDB: July 2025): per million invocations, per
/// GB-second on arm64, per million read units on demand.
const USD_MILLION_INVOCATIONS: f64 = 0.20;
const USD_GB_SECOND: f64 = 0.000_013_333_4;
const USD_MILLION_READS: f64 = 0.125;

const USAGE: &str =
    "simulate [--seed N] [--rates N,N,...] [--settings TTL:CACHE,...] [--credentials tokens|self-signed]
    [--partners N] [--hot-share 0..1] [--zipf EXPONENT] [--tokens N] [--tenants N] [--memory-mb N] [--own-ms MS]
    [--read-ms MS] [--cold-ms MS] [--idle-s SECONDS] [--pick recent|random] [--ramp-s SECONDS] [--seconds N]
rates are requests per second; TTL is the gateway's, CACHE is DECISION_CACHE_SECONDS, both in seconds";

/// Runs the subcommand and prints its table.
///
/// # Errors
/// Says which argument is wrong, or how many there are.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let plan = Plan::read(arguments)?;
    println!("{}", plan.describe());
    println!("{}", Outcome::HEADING);
    for rate in &plan.rates {
        println!();
        for setting in &plan.settings {
            println!("{}", simulate(&plan.model, *rate, *setting).row(*rate, *setting));
        }
    }
    Ok(())
}

/// What is to be simulated.
#[derive(Debug, Clone)]
struct Plan {
    model: Model,
    /// Requests per second, of all partners together.
    rates: Vec<f64>,
    settings: Vec<Setting>,
}

/// What a deployment sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    /// Seconds that API Gateway keeps an authorizer's answer.
    ttl: u64,
    /// `DECISION_CACHE_SECONDS`.
    cache: u64,
}

/// What callers carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    /// Tokens of ours, used until they expire.
    Tokens,
    /// A JWT that the partner signs anew for each request.
    SelfSigned,
}

/// Which of the free sandboxes gets an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pick {
    Recent,
    Random,
}

/// What the world is like.
#[derive(Debug, Clone)]
struct Model {
    seed: u64,
    credentials: Credentials,
    partners: usize,
    /// Share of the requests that the first partner makes; the others share the rest by Zipf's law.
    hot_share: f64,
    zipf: f64,
    /// Live tokens of a partner.
    tokens: usize,
    tenants: usize,
    memory_mb: f64,
    /// What a decision takes beside the table.
    own: Nanos,
    /// A round trip to the table.
    read: Nanos,
    /// What the first invocation of a sandbox takes more: start, keyring, catalog.
    cold: Nanos,
    /// After so long without an invocation a sandbox ends.
    idle: Nanos,
    pick: Pick,
    /// The rate rises evenly for so long, before what is measured. At 0 all of it comes at once, to empty caches.
    ramp: Nanos,
    /// Seconds to measure; by default as many as make two million requests, between 30 and 3,600. At least a TTL.
    seconds: Option<u64>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            seed: 1,
            credentials: Credentials::Tokens,
            partners: 1000,
            hot_share: 0.2,
            zipf: 1.0,
            tokens: 4,
            tenants: 200,
            memory_mb: 256.0,
            own: MILLISECOND,
            read: 4 * MILLISECOND,
            cold: 60 * MILLISECOND,
            idle: 300 * SECOND,
            pick: Pick::Recent,
            ramp: 30 * SECOND,
            seconds: None,
        }
    }
}

impl Plan {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut model = Model::default();
        let mut rates = vec![10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];
        let mut settings =
            [(0, 0), (0, 5), (30, 0), (30, 5), (300, 0)].map(|(ttl, cache)| Setting { ttl, cache }).to_vec();
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest.next().ok_or_else(|| format!("{name}: no value\n{USAGE}"))?;
            let wrong = |what: &str| format!("{name} {value}: {what}\n{USAGE}");
            let count = |least: u64, most: u64| match value.parse::<u64>() {
                Ok(n) if (least..=most).contains(&n) => Ok(n),
                _ => Err(wrong(&format!("a number from {least} to {most}"))),
            };
            let size = |most: u64| count(1, most).and_then(|n| usize::try_from(n).map_err(|_| wrong("too large")));
            let real = |most: f64| match value.parse::<f64>() {
                Ok(n) if (0.0..=most).contains(&n) => Ok(n),
                _ => Err(wrong(&format!("a number from 0 to {most}"))),
            };
            let time = |unit: Nanos| real(1e6).map(|n| (n * unit as f64) as Nanos);
            match name.as_str() {
                "--seed" => model.seed = count(0, u64::MAX)?,
                "--partners" => model.partners = size(1_000_000)?,
                "--hot-share" => model.hot_share = real(1.0)?,
                "--zipf" => model.zipf = real(10.0)?,
                "--tokens" => model.tokens = size(1_000)?,
                "--tenants" => model.tenants = size(1_000_000)?,
                "--memory-mb" => model.memory_mb = real(10_240.0)?,
                "--own-ms" => model.own = time(MILLISECOND)?,
                "--read-ms" => model.read = time(MILLISECOND)?,
                "--cold-ms" => model.cold = time(MILLISECOND)?,
                "--idle-s" => model.idle = time(SECOND)?,
                "--ramp-s" => model.ramp = time(SECOND)?,
                "--seconds" => model.seconds = Some(count(1, 86_400)?),
                "--credentials" => {
                    model.credentials = match value.as_str() {
                        "tokens" => Credentials::Tokens,
                        "self-signed" => Credentials::SelfSigned,
                        _ => return Err(wrong("tokens or self-signed")),
                    }
                }
                "--pick" => {
                    model.pick = match value.as_str() {
                        "recent" => Pick::Recent,
                        "random" => Pick::Random,
                        _ => return Err(wrong("recent or random")),
                    }
                }
                "--rates" => {
                    let rate = |text: &str| match text.parse::<f64>() {
                        Ok(n) if (0.1..=1e6).contains(&n) => Ok(n),
                        _ => Err(wrong("numbers from 0.1 to 1000000, divided by commas")),
                    };
                    rates = value.split(',').map(rate).collect::<Result<_, _>>()?;
                }
                "--settings" => {
                    settings = value
                        .split(',')
                        .map(|text| {
                            Setting::read(text)
                                .ok_or_else(|| wrong("TTL:CACHE, each from 0 to 3600, divided by commas"))
                        })
                        .collect::<Result<_, _>>()?
                }
                _ => return Err(format!("{name}: no such argument\n{USAGE}")),
            }
        }
        Ok(Self { model, rates, settings })
    }

    /// The model's parameters, for the head of the table.
    fn describe(&self) -> String {
        let m = &self.model;
        let ms = |time: Nanos| time as f64 / MILLISECOND as f64;
        format!(
            "seed {}; {} partners, of requests one has {} %, the others by Zipf {}; {} tenants; {}; {} MB;\n\
             own {} ms, read {} ms, cold start {} ms; idle {} s; {} free sandbox first; ramp {} s\n",
            m.seed,
            m.partners,
            if m.partners == 1 { 100.0 } else { 100.0 * m.hot_share },
            m.zipf,
            m.tenants,
            match m.credentials {
                Credentials::Tokens => format!("{} live tokens each", m.tokens),
                Credentials::SelfSigned => "a new JWT for each request".to_owned(),
            },
            m.memory_mb,
            ms(m.own),
            ms(m.read),
            ms(m.cold),
            m.idle / SECOND,
            match m.pick {
                Pick::Recent => "last used",
                Pick::Random => "any",
            },
            m.ramp / SECOND,
        )
    }
}

impl Setting {
    fn read(text: &str) -> Option<Self> {
        let (ttl, cache) = text.split_once(':')?;
        let seconds = |text: &str| text.parse().ok().filter(|n: &u64| *n <= 3600);
        Some(Self { ttl: seconds(ttl)?, cache: seconds(cache)? })
    }
}

/// What a run comes to.
#[derive(Debug, Clone, Default, PartialEq)]
struct Outcome {
    /// Measured time, seconds.
    seconds: f64,
    requests: u64,
    gateway_hits: u64,
    invocations: u64,
    cache_hits: u64,
    cold_starts: u64,
    /// Items that decisions asked for, retries not counted.
    reads: u64,
    /// Items that were served, retries included: what is paid.
    served: u64,
    /// Items that were asked for, retries included, and those of them that were refused.
    tried: u64,
    refused: u64,
    /// Requests that were answered with 500 because a partition did not serve them.
    failed: u64,
    /// Billed milliseconds.
    billed_ms: u64,
    /// Sandboxes at work, at the 99th percentile of the invocations.
    sandboxes: usize,
    /// The partition that was asked for most, and its read units per second, retries not counted.
    hottest: &'static str,
    hottest_reads: f64,
    /// Seconds that a revoked token was still accepted for: mean and most.
    delay_mean: f64,
    delay_most: f64,
    usd_million: f64,
}

impl Outcome {
    const HEADING: &'static str = concat!(
        "   req TTL cache gateway cached   invoc. sandboxes      reads hottest partition    refused    500  ",
        "revocation     USD/\n",
        "    /s   s     s    hits   hits       /s  p99 quota     RRU/s RRU/s of 3,000         reads        ",
        "bound s mean  million"
    );

    fn row(&self, rate: f64, setting: Setting) -> String {
        let percent = |part: u64, of: u64| 100.0 * ratio(part, of);
        let per_second = |n: u64| n as f64 / self.seconds;
        format!(
            "{:>6} {:>3} {:>5} {:>6.2}% {:>5.1}% {:>8.1} {:>4} {:>5} {:>9.0} {:>5.0} {:<12} {:>7.2}% {:>5.2}% \
             {:>7} {:>6.2} {:>8.4}",
            rate,
            setting.ttl,
            setting.cache,
            percent(self.gateway_hits, self.requests),
            percent(self.cache_hits, self.invocations),
            per_second(self.invocations),
            self.sandboxes,
            self.quota(),
            per_second(self.reads),
            self.hottest_reads,
            self.hottest,
            percent(self.refused, self.tried),
            percent(self.failed, self.requests),
            setting.ttl + setting.cache,
            self.delay_mean,
            self.usd_million,
        )
    }

    /// The concurrency that the account or the function must be allowed.
    fn quota(&self) -> usize {
        let by_rate = (self.invocations as f64 / self.seconds / INVOCATIONS_PER_SANDBOX).ceil() as usize;
        self.sandboxes.max(by_rate)
    }
}

fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// Runs one rate with one setting.
fn simulate(model: &Model, rate: f64, setting: Setting) -> Outcome {
    let mut world = World::new(model, rate, setting);
    world.go();
    world.outcome()
}

/// SplitMix64: a small generator, the same everywhere.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0, below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0, below `n`.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A part of this time.
    fn part(&mut self, of: Nanos) -> Nanos {
        (self.unit() * of as f64) as Nanos
    }

    /// The time to the next event of a Poisson process of so many per second.
    fn until_next(&mut self, rate: f64) -> Nanos {
        (-(1.0 - self.unit()).ln() / rate * SECOND as f64) as Nanos
    }
}

/// Draws from a fixed distribution in constant time (Vose's alias method).
#[derive(Debug)]
struct Alias(Vec<(f64, usize)>);

impl Alias {
    fn new(shares: &[f64]) -> Self {
        let sum: f64 = shares.iter().sum();
        let mut scaled: Vec<f64> = shares.iter().map(|s| s / sum * shares.len() as f64).collect();
        let mut table: Vec<(f64, usize)> = (0..shares.len()).map(|i| (1.0, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..shares.len()).partition(|i| scaled.get(*i).is_some_and(|s| *s < 1.0));
        while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
            let has = scaled.get(poor).copied().unwrap_or(1.0);
            if let Some(entry) = table.get_mut(poor) {
                *entry = (has, rich);
            }
            let left = scaled.get(rich).copied().unwrap_or(1.0) + has - 1.0;
            if let Some(s) = scaled.get_mut(rich) {
                *s = left;
            }
            if left < 1.0 { small.push(rich) } else { large.push(rich) }
        }
        Self(table)
    }

    fn draw(&self, random: &mut Random) -> usize {
        let at = random.below(self.0.len());
        match self.0.get(at) {
            Some((keep, other)) if random.unit() >= *keep => *other,
            _ => at,
        }
    }
}

/// Hashes small numbers.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }
    fn write_u32(&mut self, n: u32) {
        self.0 = (self.0 ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A place for a live token of a partner; when a token expires, the next one takes its place.
#[derive(Debug, Clone, Default)]
struct Slot {
    issued: Nanos,
    /// Until when the gateway keeps an answer, and when what that rests on was read.
    until: Nanos,
    read: Nanos,
    /// Whether revocations of it are followed.
    watched: bool,
}

/// A revocation that is followed. It changes nothing for the others: the load stays as it is.
#[derive(Debug, Clone, Copy)]
struct Revocation {
    at: Nanos,
    /// Until when the gateway keeps an answer from before.
    until: Nanos,
    /// The last request that was accepted.
    last: Nanos,
}

#[derive(Debug, Clone, Copy, Default)]
struct Partition {
    /// Read units that it can serve at once, as of `at`.
    credit: f64,
    at: Nanos,
    /// Read units asked for by decisions, retries not counted.
    asked: u64,
}

impl Partition {
    fn serve(&mut self, now: Nanos) -> bool {
        let earned = now.saturating_sub(self.at) as f64 / SECOND as f64 * PARTITION_READS;
        self.credit = (self.credit + earned).min(PARTITION_READS);
        self.at = now;
        let serves = self.credit >= 1.0;
        if serves {
            self.credit -= 1.0;
        }
        serves
    }
}

/// What a decision reads: client, grant, tenant, catalog version, and with a token of ours its revocation.
const ITEMS: usize = 5;

/// What a sandbox is at.
#[derive(Debug, Clone, Copy, Default)]
struct Job {
    partner: usize,
    slot: usize,
    /// Whether it is in the measured time.
    counted: bool,
    started: Nanos,
    /// The sandbox is to begin with it: it has just started.
    begins: bool,
    /// What is done: the answer is under way. `Some(false)` is a 500.
    done: Option<bool>,
    /// When what the answer rests on was read.
    read: Nanos,
    from_cache: bool,
    /// Partitions of the items that are still to be read.
    rest: [Option<u32>; ITEMS],
    tries: u8,
    attempts: u8,
}

#[derive(Debug, Default)]
struct Sandbox {
    job: Job,
    idle_since: Nanos,
    /// By token (or partner, who signs each anew): when what is kept was read.
    kept: HashMap<u32, Nanos, BuildHasherDefault<Mix>>,
}

struct World<'a> {
    model: &'a Model,
    rate: f64,
    setting: Setting,
    random: Random,
    /// Revocations draw from their own, so that following them changes nothing.
    fate: Random,
    popularity: Alias,
    /// By partner: tenant, and copy of the catalog's version.
    belongs: Vec<(usize, usize)>,
    slots: Vec<Slot>,
    revocations: HashMap<usize, Vec<Revocation>>,
    next_revocation: Nanos,
    delays: Vec<Nanos>,
    /// Of clients, then tenants, then copies of the version, then tokens.
    partitions: Vec<Partition>,
    sandboxes: Vec<Sandbox>,
    /// Free ones, the last used at the back.
    free: VecDeque<u32>,
    ended: Vec<u32>,
    busy: usize,
    /// By number of busy sandboxes: at how many invocations.
    occupancy: Vec<u64>,
    events: BinaryHeap<Reverse<(Nanos, u32)>>,
    /// Measured time.
    from: Nanos,
    to: Nanos,
    out: Outcome,
}

impl<'a> World<'a> {
    fn new(model: &'a Model, rate: f64, setting: Setting) -> Self {
        let mut random = Random(model.seed);
        random.next();
        let others: f64 = (1..model.partners).map(|rank| (rank as f64).powf(-model.zipf)).sum();
        let share = |partner: usize| match partner {
            0 if model.partners == 1 => 1.0,
            0 => model.hot_share,
            rank => (1.0 - model.hot_share) * (rank as f64).powf(-model.zipf) / others,
        };
        let shares: Vec<f64> = (0..model.partners).map(share).collect();
        let tenant_shares: Vec<f64> = (1..=model.tenants).map(|rank| (rank as f64).powf(-model.zipf)).collect();
        let tenants = Alias::new(&tenant_shares);
        let belongs = (0..model.partners)
            .map(|partner| {
                // The first partner belongs to the largest tenant.
                let tenant = if partner == 0 { 0 } else { tenants.draw(&mut random) };
                (tenant, version_copy(&format!("partner-{:08x}", random.next() >> 32)))
            })
            .collect();

        let slots_each = if model.credentials == Credentials::Tokens { model.tokens } else { 1 };
        let ttl = setting.ttl * SECOND;
        let mut slots = Vec::with_capacity(model.partners * slots_each);
        for share in &shares {
            for _ in 0..slots_each {
                let mut slot = Slot { issued: BEGIN - random.part(TOKEN_SECONDS * SECOND), ..Slot::default() };
                // The gateway's cache is as after a long time: kept for TTL, then not until the next request.
                let arrivals = share * rate / slots_each as f64 * setting.ttl as f64;
                let age = random.part(ttl);
                if random.unit() < arrivals / (1.0 + arrivals) && BEGIN - age >= slot.issued {
                    (slot.read, slot.until) = (BEGIN - age, BEGIN - age + ttl);
                }
                slots.push(slot);
            }
        }

        let bound = setting.ttl + setting.cache;
        let from = BEGIN + model.ramp + (10 + 2 * setting.cache) * SECOND;
        let measured = model.seconds.unwrap_or((2e6 / rate).clamp(30.0, 3600.0) as u64).max(setting.ttl);
        // Each revocation is followed to its end.
        let to = from + (measured + bound + 1) * SECOND;
        let partition = Partition { credit: PARTITION_READS, at: BEGIN, asked: 0 };
        let count = model.partners + model.tenants + VERSION_COPIES + slots.len();
        let mut world = Self {
            model,
            rate,
            setting,
            random,
            fate: Random(!model.seed),
            popularity: Alias::new(&shares),
            belongs,
            slots,
            revocations: HashMap::new(),
            next_revocation: from,
            delays: Vec::new(),
            partitions: vec![partition; count],
            sandboxes: Vec::new(),
            free: VecDeque::new(),
            ended: Vec::new(),
            busy: 0,
            occupancy: Vec::new(),
            events: BinaryHeap::new(),
            from,
            to,
            out: Outcome { seconds: (to - from) as f64 / SECOND as f64, ..Outcome::default() },
        };
        // Enough sandboxes are warm, so that a run does not begin with a storm of cold starts.
        let load = rate * (model.own + model.read) as f64 / SECOND as f64;
        for _ in 0..(load + 4.0 * load.sqrt()) as usize {
            let id = world.new_sandbox();
            if let Some(sandbox) = world.sandboxes.get_mut(id as usize) {
                sandbox.idle_since = BEGIN;
            }
            world.free.push_back(id);
        }
        world
    }

    /// Requests arrive until the measured time is over; what is under way then is finished.
    fn go(&mut self) {
        let last_revocation = self.to - (self.setting.ttl + self.setting.cache + 1) * SECOND;
        let revocations = REVOCATIONS / ((last_revocation - self.from) as f64 / SECOND as f64);
        self.next_revocation += self.fate.until_next(revocations);
        let mut arrival = self.next_arrival(BEGIN);
        loop {
            match self.events.peek() {
                Some(Reverse((at, id))) if *at <= arrival || arrival >= self.to => {
                    let (at, id) = (*at, *id);
                    self.events.pop();
                    self.continue_job(id, at);
                }
                _ if arrival >= self.to => break,
                _ => {
                    while self.next_revocation <= arrival && self.next_revocation < last_revocation {
                        let at = self.next_revocation;
                        self.revoke(at);
                        self.next_revocation = at + self.fate.until_next(revocations).max(1);
                    }
                    self.request(arrival);
                    arrival = self.next_arrival(arrival);
                }
            }
        }
    }

    fn next_arrival(&mut self, now: Nanos) -> Nanos {
        // Not from nothing: the first request would take for ever to come.
        let risen = match self.model.ramp {
            0 => 1.0,
            ramp => ((now - BEGIN) as f64 / ramp as f64).clamp(0.01, 1.0),
        };
        now + self.random.until_next(self.rate * risen).max(1)
    }

    fn request(&mut self, now: Nanos) {
        let partner = self.popularity.draw(&mut self.random);
        let counted = now >= self.from;
        let tokens = self.model.credentials == Credentials::Tokens;
        let slot = match tokens {
            true => partner * self.model.tokens + self.random.below(self.model.tokens),
            false => partner,
        };
        self.out.requests += u64::from(counted);
        let Some(place) = self.slots.get_mut(slot) else { return };
        if tokens && now >= place.issued + TOKEN_SECONDS * SECOND {
            place.issued = now;
        }
        let hit = tokens && place.until > now && place.read >= place.issued;
        if place.watched {
            self.watch(slot, now);
        }
        if hit {
            self.out.gateway_hits += u64::from(counted);
        } else {
            self.invoke(Job { partner, slot, counted, started: now, ..Job::default() }, now);
        }
    }

    fn invoke(&mut self, job: Job, now: Nanos) {
        self.end_idle(now);
        let free = self.pick();
        let id = free.unwrap_or_else(|| self.new_sandbox());
        self.busy += 1;
        if job.counted {
            self.out.invocations += 1;
            self.out.cold_starts += u64::from(free.is_none());
            if self.occupancy.len() <= self.busy {
                self.occupancy.resize(self.busy + 1, 0);
            }
            if let Some(seen) = self.occupancy.get_mut(self.busy) {
                *seen += 1;
            }
        }
        if let Some(sandbox) = self.sandboxes.get_mut(id as usize) {
            sandbox.job = job;
            sandbox.job.begins = free.is_none();
        }
        match free {
            Some(_) => self.begin(id, now),
            None => self.events.push(Reverse((now + self.model.cold, id))),
        }
    }

    /// The next step of what a sandbox is at.
    fn continue_job(&mut self, id: u32, now: Nanos) {
        let Some(sandbox) = self.sandboxes.get_mut(id as usize) else { return };
        match sandbox.job {
            Job { begins: true, .. } => {
                sandbox.job.begins = false;
                self.begin(id, now);
            }
            Job { done: Some(well), .. } => self.answer(id, well, now),
            _ => self.attempt(id, now),
        }
    }

    fn begin(&mut self, id: u32, now: Nanos) {
        let name = self.kept_under(id);
        let Some(sandbox) = self.sandboxes.get_mut(id as usize) else { return };
        let job = &mut sandbox.job;
        let issued = self.slots.get(job.slot).map_or(0, |slot| slot.issued);
        let kept = sandbox.kept.get(&name).copied().filter(|read| is_kept(*read, now, self.setting.cache));
        if let Some(read) = kept.filter(|read| self.model.credentials == Credentials::SelfSigned || *read >= issued) {
            (job.read, job.from_cache, job.done) = (read, true, Some(true));
            self.out.cache_hits += u64::from(job.counted);
            self.events.push(Reverse((now + self.model.own, id)));
            return;
        }
        job.read = now;
        let (tenant, copy) = self.belongs.get(job.partner).copied().unwrap_or_default();
        let tenants = self.model.partners;
        let copies = tenants + self.model.tenants;
        let token = copies + VERSION_COPIES + job.slot;
        let token = (self.model.credentials == Credentials::Tokens).then_some(token as u32);
        let client = Some(job.partner as u32);
        job.rest = [client, client, Some((tenants + tenant) as u32), Some((copies + copy) as u32), token];
        for partition in job.rest.into_iter().flatten().filter(|_| job.counted) {
            self.out.reads += 1;
            if let Some(partition) = self.partitions.get_mut(partition as usize) {
                partition.asked += 1;
            }
        }
        self.attempt(id, now);
    }

    /// Sends a batch, or the rest of it, as `Store::batch_get_now` and the SDK do.
    fn attempt(&mut self, id: u32, now: Nanos) {
        let Some(sandbox) = self.sandboxes.get_mut(id as usize) else { return };
        let job = &mut sandbox.job;
        let (mut served, mut refused) = (0_u64, 0_u64);
        for item in &mut job.rest {
            let partition = item.and_then(|index| self.partitions.get_mut(index as usize));
            match partition.map(|partition| partition.serve(now)) {
                Some(true) => {
                    served += 1;
                    *item = None;
                }
                Some(false) => refused += 1,
                None => {}
            }
        }
        if job.counted {
            self.out.tried += served + refused;
            self.out.refused += refused;
            self.out.served += served;
        }
        let mut pause = 0;
        if refused == 0 {
            job.done = Some(true);
        } else if served > 0 {
            job.tries += 1;
            job.attempts = 0;
            job.done = (job.tries >= BATCH_TRIES).then_some(false);
        } else {
            job.attempts += 1;
            job.done = (job.attempts >= ATTEMPTS).then_some(false);
            if job.done.is_none() {
                pause = self.random.part(FIRST_PAUSE << (job.attempts - 1));
            }
        }
        let own = if job.done.is_some() { self.model.own } else { 0 };
        self.events.push(Reverse((now + self.model.read + pause + own, id)));
    }

    fn answer(&mut self, id: u32, well: bool, now: Nanos) {
        let name = self.kept_under(id);
        let Some(sandbox) = self.sandboxes.get_mut(id as usize) else { return };
        let job = sandbox.job;
        if job.counted {
            self.out.failed += u64::from(!well);
            self.out.billed_ms += (now - job.started).div_ceil(MILLISECOND);
        }
        if well && self.setting.cache > 0 && !job.from_cache {
            if sandbox.kept.len() >= KEPT {
                sandbox.kept.retain(|_, read| is_kept(*read, now, self.setting.cache));
            }
            if sandbox.kept.len() < KEPT {
                sandbox.kept.insert(name, job.read);
            }
        }
        sandbox.idle_since = now;
        self.free.push_back(id);
        self.busy -= 1;
        if well
            && self.setting.ttl > 0
            && let Some(slot) = self.slots.get_mut(job.slot)
        {
            (slot.read, slot.until) = (job.read, now + self.setting.ttl * SECOND);
            if slot.watched {
                for revocation in self.revocations.get_mut(&job.slot).into_iter().flatten() {
                    if job.read < revocation.at {
                        revocation.until = revocation.until.max(now + self.setting.ttl * SECOND);
                    }
                }
            }
        }
    }

    /// What a sandbox keeps the answer to its job under.
    fn kept_under(&self, id: u32) -> u32 {
        self.sandboxes.get(id as usize).map_or(0, |sandbox| sandbox.job.slot as u32)
    }

    fn pick(&mut self) -> Option<u32> {
        match self.model.pick {
            Pick::Recent => self.free.pop_back(),
            Pick::Random if self.free.is_empty() => None,
            Pick::Random => {
                let at = self.random.below(self.free.len());
                self.free.remove(at)
            }
        }
    }

    fn end_idle(&mut self, now: Nanos) {
        while let Some(id) = self.free.front().copied() {
            let Some(sandbox) = self.sandboxes.get_mut(id as usize) else { return };
            if sandbox.idle_since + self.model.idle >= now {
                return;
            }
            sandbox.kept.clear();
            self.free.pop_front();
            self.ended.push(id);
        }
    }

    fn new_sandbox(&mut self) -> u32 {
        self.ended.pop().unwrap_or_else(|| {
            self.sandboxes.push(Sandbox::default());
            (self.sandboxes.len() - 1) as u32
        })
    }

    /// A token is revoked, one that is used as its partner is.
    fn revoke(&mut self, now: Nanos) {
        let partner = self.popularity.draw(&mut self.fate);
        let each = self.slots.len() / self.model.partners;
        let index = partner * each + self.fate.below(each);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let until = if slot.read >= slot.issued { slot.until } else { 0 };
        slot.watched = true;
        self.revocations.entry(index).or_default().push(Revocation { at: now, until, last: now });
    }

    /// What would have become of this request if its token had been revoked.
    fn watch(&mut self, index: usize, now: Nanos) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Some(revocations) = self.revocations.get_mut(&index) else { return };
        let tokens = self.model.credentials == Credentials::Tokens;
        // What the sandbox that would be asked still has. One that starts has nothing.
        let sandbox = self.free.back().and_then(|id| self.sandboxes.get(*id as usize));
        let kept = sandbox.and_then(|sandbox| sandbox.kept.get(&(index as u32)).copied());
        let kept = kept.filter(|read| is_kept(*read, now, self.setting.cache));
        let over = (self.setting.ttl + self.setting.cache + 1) * SECOND;
        let delays = &mut self.delays;
        revocations.retain_mut(|revocation| {
            if now > revocation.at + over {
                delays.push(revocation.last - revocation.at);
                return false;
            }
            // An expired token is no longer accepted, revoked or not.
            if tokens && slot.issued > revocation.at {
                return true;
            }
            if tokens && revocation.until > now {
                revocation.last = now;
            } else if kept.is_some_and(|read| read < revocation.at) {
                revocation.last = now;
                // A refusal is an error to the gateway and is not kept; this is not refused.
                revocation.until = now + self.model.own + self.setting.ttl * SECOND;
            }
            true
        });
        slot.watched = !revocations.is_empty();
    }

    fn outcome(mut self) -> Outcome {
        let open = self.revocations.into_values().flatten().map(|revocation| revocation.last - revocation.at);
        self.delays.extend(open);
        let seconds = |time: Nanos| time as f64 / SECOND as f64;
        let out = &mut self.out;
        out.delay_mean = seconds(self.delays.iter().sum()) / self.delays.len().max(1) as f64;
        out.delay_most = seconds(self.delays.iter().copied().max().unwrap_or(0));

        let wanted = out.invocations as f64 * 0.99;
        let mut seen = 0.0;
        out.sandboxes = self.occupancy.len().saturating_sub(1);
        for (busy, times) in self.occupancy.iter().enumerate() {
            seen += *times as f64;
            if seen >= wanted {
                out.sandboxes = busy;
                break;
            }
        }

        let tenants = self.model.partners;
        let copies = tenants + self.model.tenants;
        let hottest = self.partitions.iter().map(|partition| partition.asked).enumerate();
        let (index, asked) = hottest.max_by_key(|(index, asked)| (*asked, Reverse(*index))).unwrap_or_default();
        out.hottest_reads = asked as f64 / out.seconds;
        out.hottest = match index {
            i if i < tenants => "client",
            i if i < copies => "tenant",
            i if i < copies + VERSION_COPIES => "version copy",
            _ => "token",
        };

        let gb_seconds = out.billed_ms as f64 / 1e3 * self.model.memory_mb / 1024.0;
        let lambda = out.invocations as f64 / 1e6 * USD_MILLION_INVOCATIONS + gb_seconds * USD_GB_SECOND;
        let reads = out.served as f64 / 1e6 * USD_MILLION_READS;
        out.usd_million = (lambda + reads) / out.requests.max(1) as f64 * 1e6;
        self.out
    }
}

/// Whether what was read then still counts (`Store::batch_get`): both times are whole seconds there.
fn is_kept(read: Nanos, now: Nanos, cache: u64) -> bool {
    (now / SECOND).saturating_sub(read / SECOND) < cache
}

/// Which copy of the catalog's version a client's decisions read (`Store::fetch`).
fn version_copy(client: &str) -> usize {
    let sum = "CLIENT#".bytes().chain(client.bytes()).fold(0, u8::wrapping_add);
    usize::from(sum) % VERSION_COPIES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Model {
        Model { partners: 50, tenants: 10, ramp: SECOND, seconds: Some(5), ..Model::default() }
    }

    fn one() -> Model {
        Model { partners: 1, tenants: 1, tokens: 1, ..small() }
    }

    fn outcome(model: &Model, rate: f64, ttl: u64, cache: u64) -> Outcome {
        simulate(model, rate, Setting { ttl, cache })
    }

    fn near(is: f64, should: f64, part: f64) -> bool {
        (is - should).abs() <= part * should.abs()
    }

    #[test]
    fn what_holds_in_every_run() {
        let self_signed = Model { credentials: Credentials::SelfSigned, ..small() };
        let random = Model { pick: Pick::Random, ..small() };
        for (name, model, items) in [("tokens", small(), 5), ("self-signed", self_signed, 4), ("random", random, 5)] {
            for (rate, ttl, cache) in [
                (10.0, 0, 0),
                (10.0, 0, 5),
                (10.0, 30, 5),
                (500.0, 0, 0),
                (500.0, 0, 1),
                (500.0, 0, 5),
                (500.0, 2, 0),
                (500.0, 2, 5),
                (200.0, 30, 0),
                (8_000.0, 0, 0),
                (8_000.0, 0, 5),
                (8_000.0, 5, 5),
            ] {
                let out = outcome(&model, rate, ttl, cache);
                let case = format!("{name}, {rate}/s, TTL {ttl}, cache {cache}: {out:?}");
                assert_eq!(out.seconds, (ttl.max(5) + ttl + cache + 1) as f64, "{case}");
                assert!(near(out.requests as f64, rate * out.seconds, 4.0 / (rate * out.seconds).sqrt()), "{case}");
                assert_eq!(out.requests, out.gateway_hits + out.invocations, "{case}");
                assert_eq!(out.reads, items * (out.invocations - out.cache_hits), "{case}");
                assert_eq!(out.tried, out.served + out.refused, "{case}");
                assert!(out.tried >= out.reads && out.served <= out.reads, "{case}");
                assert_eq!(out.failed == 0, out.served == out.reads, "{case}");
                assert!(out.billed_ms >= out.invocations, "{case}");
                assert!(
                    out.sandboxes >= 1 && out.quota() as f64 * 10.0 >= out.invocations as f64 / out.seconds,
                    "{case}"
                );
                // The bound, and the time that the decision takes that the gateway keeps.
                assert!(out.delay_most <= (ttl + cache) as f64 + 0.1 && out.delay_mean <= out.delay_most, "{case}");
                assert!(!out.row(rate, Setting { ttl, cache }).is_empty());
                if ttl == 0 || model.credentials == Credentials::SelfSigned {
                    assert_eq!(out.gateway_hits, 0, "{case}");
                }
                if cache == 0 {
                    assert_eq!(out.cache_hits, 0, "{case}");
                }
                if (ttl, cache) == (0, 0) {
                    assert_eq!(out.reads, items * out.requests, "{case}");
                    assert_eq!((out.delay_mean, out.delay_most), (0.0, 0.0), "{case}");
                }
                assert_eq!(out, outcome(&model, rate, ttl, cache), "the same seed: {case}");
            }
        }
        assert_ne!(outcome(&small(), 500.0, 2, 1), outcome(&Model { seed: 2, ..small() }, 500.0, 2, 1));
    }

    /// One token at rate r: in each cycle one miss, then r x TTL hits.
    #[test]
    fn gateway_hits_are_those_of_a_renewal_process() {
        for (rate, ttl) in [(0.5, 2), (1.0, 30), (20.0, 5), (60.0, 1)] {
            let out = outcome(&Model { seconds: Some(4_000), ..one() }, rate, ttl, 0);
            let hits = rate * ttl as f64 / (1.0 + rate * ttl as f64);
            assert!(near(ratio(out.gateway_hits, out.requests), hits, 0.02), "{rate} {ttl} {out:?}");
            // Revoked at any time of a kept answer's life, or when none is kept.
            let delay = hits * ttl as f64 / 2.0;
            assert!(out.delay_mean <= 1.1 * delay, "{rate} {ttl} {out:?}");
            assert!(rate * (ttl as f64) < 50.0 || out.delay_mean >= 0.9 * delay, "{rate} {ttl} {out:?}");
        }
    }

    /// One sandbox is enough, so the same holds of its cache; whole seconds take half a second off its life.
    #[test]
    fn cached_decisions_are_those_of_a_renewal_process() {
        let model = Model { seconds: Some(4_000), own: 1, read: 1, ..one() };
        for (rate, cache) in [(1.0, 30), (2.0, 10), (20.0, 5)] {
            let out = outcome(&model, rate, 0, cache);
            let life = rate * (cache as f64 - 0.5);
            let misses = 1.0 - ratio(out.cache_hits, out.invocations);
            assert!(near(misses, 1.0 / (1.0 + life), 0.1), "{rate} {cache} {out:?}");
            let delay = (1.0 - misses) * (cache as f64 - 0.5) / 2.0;
            assert!(near(out.delay_mean, delay, 0.2), "{rate} {cache} {out:?}");
        }
    }

    /// What is kept of a token is of no use to the next: two answers in the life of one, not 1.8.
    #[test]
    fn answers_end_with_their_token() {
        let model = Model { seconds: Some(360_000), own: 1, read: 1, cold: 1, ..one() };
        let out = outcome(&model, 0.5, 2_000, 0);
        let tokens = out.seconds / TOKEN_SECONDS as f64;
        assert!(near(out.invocations as f64, 2.0 * tokens, 0.03), "{tokens} {out:?}");
    }

    /// Sandboxes that are used again and again have more of what is asked for.
    #[test]
    fn the_last_used_sandbox_knows_most() {
        let hits = |pick| outcome(&Model { pick, ..small() }, 1_000.0, 0, 5).cache_hits;
        assert!(hits(Pick::Recent) as f64 > 1.02 * hits(Pick::Random) as f64);
    }

    /// A decision cache that is shorter than the gateway's TTL is never hit by tokens of ours.
    #[test]
    fn a_cache_behind_a_longer_ttl_is_of_no_use() {
        let out = outcome(&one(), 50.0, 30, 5);
        assert_eq!(out.cache_hits, 0, "{out:?}");
    }

    /// Without limits on their number, sandboxes at work are Poisson (M/G/infinity): mean rate x time.
    #[test]
    fn sandboxes_are_as_many_as_erlang_says() {
        let out = outcome(&Model { hot_share: 0.02, partners: 500, zipf: 0.0, ..small() }, 8_000.0, 0, 0);
        let mean: f64 = 8_000.0 * 0.005;
        assert!(near(out.sandboxes as f64, 1.0 + mean + 2.33 * mean.sqrt(), 0.1), "{out:?}");
        assert_eq!((out.failed, out.cold_starts > 100), (0, false), "{out:?}");
    }

    /// Client and grant of the only partner are in one partition: twice the rate is asked of it, 3,000 are served.
    #[test]
    fn a_partition_serves_three_thousand() {
        let out = outcome(&one(), 1_400.0, 0, 0);
        assert_eq!((out.refused, out.hottest), (0, "client"), "{out:?}");
        assert!(near(out.hottest_reads, 2_800.0, 0.02), "{out:?}");
        let out = outcome(&one(), 6_000.0, 0, 0);
        assert!(near(out.hottest_reads, 12_000.0, 0.02), "{out:?}");
        let most = PARTITION_READS * (out.seconds + 1.0) * 4.0;
        assert!(out.failed > 0 && (out.served as f64) <= most, "{out:?}");
        // At best three quarters fail, and those that get one item of two make it worse.
        assert!(ratio(out.failed, out.requests) >= 0.74, "{out:?}");
    }

    #[test]
    fn prices_are_those_of_what_is_used() {
        let out = outcome(&small(), 100.0, 0, 0);
        let seconds = out.billed_ms as f64 / out.requests as f64 / 1e3;
        let usd = USD_MILLION_INVOCATIONS + 1e6 * seconds * 0.25 * USD_GB_SECOND + 5.0 * USD_MILLION_READS;
        assert!(near(out.usd_million, usd, 1e-9), "{out:?}");
        assert!(near(out.usd_million, 0.8417, 0.01), "{out:?}");
    }

    #[test]
    fn popularity_is_drawn_as_it_is_said() {
        let alias = Alias::new(&[0.5, 0.25, 0.125, 0.125, 0.0]);
        let (mut random, mut seen) = (Random(7), [0_u32; 5]);
        for _ in 0..80_000 {
            seen[alias.draw(&mut random)] += 1;
        }
        for (seen, should) in seen.iter().zip([40_000.0, 20_000.0, 10_000.0, 10_000.0, 0.0]) {
            assert!((f64::from(*seen) - should).abs() < 500.0, "{seen} {should}");
        }
    }

    #[test]
    fn arguments_are_read_or_named() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let plan =
            Plan::read(&words("--seed 7 --rates 10,2.5 --settings 0:1,300:0 --read-ms 2.5 --pick random")).unwrap();
        assert_eq!((plan.model.seed, plan.model.read), (7, 2_500_000));
        assert_eq!(plan.rates, [10.0, 2.5]);
        assert_eq!(plan.settings, [Setting { ttl: 0, cache: 1 }, Setting { ttl: 300, cache: 0 }]);
        for bad in [
            "--seed",
            "--seed x",
            "--rates 0",
            "--rates 10,",
            "--settings 5",
            "--settings 5:4000",
            "--hot-share 1.1",
            "--partners 0",
            "--pick first",
            "--credentials none",
            "--fast yes",
        ] {
            let said = Plan::read(&words(bad)).unwrap_err();
            assert!(said.starts_with(bad.split(' ').next().unwrap()), "{bad}: {said}");
        }
        for line in plan.describe().lines().chain(Outcome::HEADING.lines()) {
            assert!(line.len() <= 120, "{line}");
        }
    }

    /// As `Store::fetch` has it: the sum of the partition key's bytes.
    #[test]
    fn the_copy_of_the_version_is_chosen_by_name() {
        let sum: usize = b"CLIENT#parts-erp-1f2e3d4c".iter().map(|b| usize::from(*b)).sum();
        assert_eq!(version_copy("parts-erp-1f2e3d4c"), sum % 256 % VERSION_COPIES);
    }
}
