//! The report in Markdown or JSON, with the goals.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::build::Build;
use crate::hang::Hang;
use crate::measure::Cost;
use crate::scenes::{FILL, Miss, TOOLS};

pub(crate) struct Report<'a> {
    pub(crate) builds: &'a [Build],
    pub(crate) hits: &'a [Cost],
    pub(crate) misses: &'a [Miss],
    pub(crate) hangs: &'a [Hang],
    pub(crate) place: &'a str,
    pub(crate) rounds: usize,
}

/// A goal and whether it was met.
struct Goal {
    what: String,
    limit: String,
    measured: String,
    met: bool,
}

impl Report<'_> {
    fn cost(&self, name: &str) -> Option<&Cost> {
        self.hits.iter().find(|cost| cost.name == name)
    }

    fn hit(&self, label: &str, what: &str) -> Option<&Cost> {
        self.of_tool("get-token", label, what)
    }

    fn of_tool(&self, tool: &str, label: &str, what: &str) -> Option<&Cost> {
        self.cost(&format!("**hallpass** {tool}, {label}{what}"))
    }

    fn fill(&self, helper: &str) -> Option<&Cost> {
        self.cost(&format!("{FILL} {helper}"))
    }

    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        if let (Some(hit), Some(bare)) = (self.hit("default", ""), self.cost("bare Rust, default"))
        {
            goals.push(at_most(
                "default: time, of bare Rust",
                1.3,
                ratio(hit, bare),
            ));
            if let (Some(hit), Some(bare)) = (hit.instructions, bare.instructions) {
                #[expect(clippy::cast_precision_loss, reason = "a ratio")]
                let ratio = hit as f64 / bare as f64;
                goals.push(at_most("default: instructions, of bare Rust", 1.7, ratio));
            }
            if let Some(cache) = self.cost("git credential-cache") {
                goals.push(at_most(
                    "default: time, of git credential-cache",
                    1.0,
                    ratio(hit, cache),
                ));
            }
        }
        for label in ["default", "musl"] {
            let Some(hit) = self.hit(label, "") else {
                continue;
            };
            if let Some(calls) = hit.calls {
                let others = calls.threads + calls.children + calls.sockets;
                goals.push(Goal {
                    what: format!("{label}: threads, children and sockets"),
                    limit: "0".to_owned(),
                    measured: others.to_string(),
                    met: others == 0,
                });
            }
            if let Some(kb) = hit.peak_kb {
                goals.push(Goal {
                    what: format!("{label}: peak memory"),
                    limit: "≤ 3072 KiB".to_owned(),
                    measured: format!("{kb} KiB"),
                    met: kb <= 3072,
                });
            }
            for many in [", 10,000 records", ", 100 resources"] {
                if let Some(crowded) = self.hit(label, many) {
                    goals.push(at_most(
                        &format!("{label}{many}: time, of one"),
                        1.1,
                        ratio(crowded, hit),
                    ));
                }
            }
        }
        for tool in TOOLS {
            let pairs = ["default", "musl"].map(|label| {
                let own = self.of_tool(tool.name, label, "")?;
                Some((label, own, self.hit(label, "")?))
            });
            for (label, own, hit) in pairs.into_iter().flatten() {
                if let Some(goal) = tool.goal {
                    let what = format!("{label}: time of {}, of get-token", tool.name);
                    goals.push(at_most(&what, goal, ratio(own, hit)));
                }
            }
        }
        for label in ["default", "musl"] {
            let own = self.fill(&format!("**hallpass**, {label}"));
            if let (Some(own), Some(cache)) = (own, self.fill("cache")) {
                let what = format!("{label}: time of {FILL} hallpass, of cache");
                goals.push(at_most(&what, 1.0, ratio(own, cache)));
            }
        }
        if let (Some(hit), Some(floor)) = (self.hit("musl", ""), self.cost("/bin/true")) {
            goals.push(at_most("musl: time, of /bin/true", 1.0, ratio(hit, floor)));
        }
        for miss in self.misses {
            let own = miss.own();
            goals.push(Goal {
                what: format!("{}: beyond the server", plain(&miss.name)),
                limit: "≤ 5 ms, 1 request".to_owned(),
                measured: format!("{:.1} ms, {:.0} request", millis(own), miss.requests),
                met: own <= Duration::from_millis(5) && (miss.requests - 1.0).abs() < 0.001,
            });
        }
        for hang in self.hangs {
            let what = format!("{}: time, of idle", plain(&hang.name));
            goals.push(at_most(&what, 2.0, hang.ratio()));
        }
        goals
    }

    fn write_hangs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| provider hangs | idle, µs | during the refresh, µs | × idle | rounds |\n\
             |---|--:|--:|--:|--:|"
        )?;
        for hang in self.hangs {
            writeln!(
                f,
                "| {} | {} | {} | {:.2} | {} |",
                hang.name,
                hang.idle[1].as_micros(),
                hang.hanging[1].as_micros(),
                hang.ratio(),
                hang.rounds
            )?;
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> Value {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        json!({
            "date": today(),
            "rounds": self.rounds,
            "data_key": self.place,
            "hits": self.hits.iter().map(|cost| json!({
                "name": plain(&cost.name),
                "quartiles_us": cost.quartiles.map(us),
                "instructions": cost.instructions,
                "system_calls": cost.calls.map(|calls| calls.all),
                "threads": cost.calls.map(|calls| calls.threads),
                "children": cost.calls.map(|calls| calls.children),
                "sockets": cost.calls.map(|calls| calls.sockets),
                "peak_kb": cost.peak_kb,
            })).collect::<Vec<_>>(),
            "misses": self.misses.iter().map(|miss| json!({
                "name": plain(&miss.name),
                "quartiles_us": miss.quartiles.map(us),
                "server_us": us(miss.server),
                "requests": miss.requests,
            })).collect::<Vec<_>>(),
            "hangs": self.hangs.iter().map(|hang| json!({
                "name": plain(&hang.name),
                "idle_quartiles_us": hang.idle.map(us),
                "hanging_quartiles_us": hang.hanging.map(us),
                "rounds": hang.rounds,
            })).collect::<Vec<_>>(),
            "builds": self.builds.iter().map(|build| json!({
                "target": build.label(),
                "bytes": build.bytes,
                "dependencies": build.dependencies,
                "clean_build_s": build.from_nothing.map(|time| time.as_secs()),
            })).collect::<Vec<_>>(),
            "goals": self.goals().iter().map(|goal| json!({
                "what": goal.what, "goal": goal.limit, "measured": goal.measured, "met": goal.met,
            })).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            builds,
            hits,
            misses,
            hangs: _,
            place,
            rounds,
        } = self;
        writeln!(
            f,
            "{}: medians of {rounds} interleaved rounds; data key: {place}\n",
            today()
        )?;
        writeln!(
            f,
            "| program | µs | × bare Rust | × hallpass | instructions | system calls | threads | \
             children | sockets | peak KiB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
        )?;
        let floor = self.cost("bare Rust, default");
        let own = self.hit("default", "");
        for cost in *hits {
            let against = |other: Option<&Cost>| {
                other.map_or(String::new(), |other| format!("{:.2}", ratio(cost, other)))
            };
            write!(
                f,
                "| {} | {} | {} | {} |",
                cost.name,
                cost.median().as_micros(),
                against(floor),
                against(own)
            )?;
            let cell =
                |value: Option<usize>| value.map_or(String::new(), |value| value.to_string());
            let calls = cost.calls;
            let instructions = cost.instructions.map(|count| format!("{} k", count / 1000));
            writeln!(
                f,
                " {} | {} | {} | {} | {} | {} |",
                instructions.unwrap_or_default(),
                cell(calls.map(|calls| calls.all)),
                cell(calls.map(|calls| calls.threads)),
                cell(calls.map(|calls| calls.children)),
                cell(calls.map(|calls| calls.sockets)),
                cost.peak_kb.map_or(String::new(), |kb| kb.to_string()),
            )?;
        }
        writeln!(
            f,
            "\n| miss | ms | server's processor, ms | our own, ms | requests |\n|---|--:|--:|--:|--:|"
        )?;
        for miss in *misses {
            writeln!(
                f,
                "| {} | {:.1} | {:.1} | {:.1} | {} |",
                miss.name,
                millis(miss.quartiles[1]),
                millis(miss.server),
                millis(miss.own()),
                miss.requests
            )?;
        }
        self.write_hangs(f)?;
        writeln!(
            f,
            "\n| build | kB | dependencies | clean build, s |\n|---|--:|--:|--:|"
        )?;
        for build in *builds {
            writeln!(
                f,
                "| {} | {} | {} | {} |",
                build.label(),
                build.bytes / 1000,
                build.dependencies,
                build
                    .from_nothing
                    .map_or(String::new(), |time| time.as_secs().to_string())
            )?;
        }
        writeln!(f, "\n| goal | | measured | |\n|---|--:|--:|---|")?;
        for Goal {
            what,
            limit,
            measured,
            met,
        } in self.goals()
        {
            let met = if met { "met" } else { "**not met**" };
            writeln!(f, "| {what} | {limit} | {measured} | {met} |")?;
        }
        Ok(())
    }
}

impl Miss {
    /// The time not spent in the server: start, handshake, request and store.
    fn own(&self) -> Duration {
        self.quartiles[1].saturating_sub(self.server)
    }
}

fn at_most(what: &str, limit: f64, measured: f64) -> Goal {
    Goal {
        what: what.to_owned(),
        limit: format!("≤ {limit} ×"),
        measured: format!("{measured:.2} ×"),
        met: measured <= limit,
    }
}

fn ratio(cost: &Cost, to: &Cost) -> f64 {
    cost.median().as_secs_f64() / to.median().as_secs_f64()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn plain(name: &str) -> String {
    name.replace("**", "")
}

fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}
