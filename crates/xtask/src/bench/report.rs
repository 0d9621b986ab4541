//! Figures, their medians and ratios, beside their bars: as tables for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::context::Context;
use super::options::Contender;

/// What one contender did in one round, by the names of its figures.
pub(super) type Figures = BTreeMap<&'static str, f64>;

pub(super) struct Round {
    /// The load straight into the sink, where that means something.
    pub ceiling: Option<Figures>,
    pub relays: Vec<(Contender, Figures)>,
}

impl Round {
    fn of(&self, contender: Contender, key: &str) -> Option<f64> {
        self.relays.iter().find(|(name, _)| *name == contender)?.1.get(key).copied()
    }

    fn ceiling(&self, key: &str) -> Option<f64> {
        self.ceiling.as_ref()?.get(key).copied()
    }
}

/// What Gatepost's figure is held to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bar {
    /// At least so many times Postfix's.
    TimesPostfix(f64),
    /// That, or this share of the same round's ceiling if it is lower.
    TimesPostfixOrShareOfCeiling(f64, f64),
    AtMost(f64),
    AtLeast(f64),
    /// At most another figure of the same round and this much more.
    AtMostBeyond(&'static str, f64),
}

/// One line of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub key: &'static str,
    pub title: &'static str,
    pub decimals: usize,
    pub bar: Option<Bar>,
}

impl Row {
    pub const fn new(key: &'static str, title: &'static str, decimals: usize) -> Row {
        Row { key, title, decimals, bar: None }
    }

    pub const fn bar(self, bar: Bar) -> Row {
        Row { bar: Some(bar), ..self }
    }
}

/// One table: a load, and what became of it.
pub(super) struct Report {
    /// The command that makes this table alone.
    pub command: String,
    /// What was sent, and through what.
    pub load: Vec<String>,
    pub rows: Vec<Row>,
    pub rounds: Vec<Round>,
    pub notes: Vec<String>,
}

/// How a figure stands to its bar.
pub(super) struct Verdict {
    pub title: String,
    pub command: String,
    pub bar: String,
    pub measured: String,
    pub is_met: bool,
}

/// The middle value; the mean of the two middle ones when their number is even; none of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

impl Report {
    fn contenders(&self) -> Vec<Contender> {
        let has = |contender| self.rounds.iter().any(|round| round.relays.iter().any(|(name, _)| *name == contender));
        [Contender::Postfix, Contender::Gatepost].into_iter().filter(|contender| has(*contender)).collect()
    }

    fn median(&self, contender: Contender, key: &str) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.of(contender, key)))
    }

    fn ceiling(&self, key: &str) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.ceiling(key)))
    }

    /// The median of the ratios of each round: what disturbed one round disturbed both sides of its ratio.
    fn ratio(&self, key: &str) -> Option<f64> {
        let ratio = |round: &Round| Some(round.of(Contender::Gatepost, key)? / round.of(Contender::Postfix, key)?);
        median(self.rounds.iter().filter_map(ratio).filter(|ratio| ratio.is_finite()))
    }

    /// Of rates alone: there is no sense in saying so of time or memory.
    fn share_of_ceiling(&self, contender: Contender, key: &str) -> Option<f64> {
        if !key.ends_with("_per_s") {
            return None;
        }
        let share = |round: &Round| Some(round.of(contender, key)? / round.ceiling(key)?);
        median(self.rounds.iter().filter_map(share).filter(|share| share.is_finite()))
    }

    fn verdict(&self, row: &Row) -> Option<Verdict> {
        let bar = row.bar?;
        let decimals = row.decimals;
        let value = self.median(Contender::Gatepost, row.key)?;
        let (bar, measured, is_met) = match bar {
            Bar::TimesPostfix(times) => {
                let ratio = self.ratio(row.key)?;
                (format!("{times} x Postfix"), format!("{ratio:.2} x"), ratio >= times)
            }
            Bar::TimesPostfixOrShareOfCeiling(times, share) => {
                let (ratio, of_ceiling) = (self.ratio(row.key)?, self.share_of_ceiling(Contender::Gatepost, row.key)?);
                (
                    format!("{times} x Postfix, or {:.0} % of the ceiling", share * 100.0),
                    format!("{ratio:.2} x, {:.1} %", of_ceiling * 100.0),
                    ratio >= times || of_ceiling >= share,
                )
            }
            Bar::AtLeast(least) => (format!("at least {least}"), format!("{value:.decimals$}"), value >= least),
            Bar::AtMost(most) => (format!("at most {most}"), format!("{value:.decimals$}"), value <= most),
            Bar::AtMostBeyond(other, more) => {
                let beyond = |round: &Round| {
                    Some(round.of(Contender::Gatepost, row.key)? - round.of(Contender::Gatepost, other)?)
                };
                let beyond = median(self.rounds.iter().filter_map(beyond))?;
                let most = self.median(Contender::Gatepost, other)? + more;
                (
                    format!("at most {most:.decimals$} ({more} beyond)"),
                    format!("{value:.decimals$} ({beyond:.decimals$} beyond)"),
                    beyond <= more,
                )
            }
        };
        let sentence = self.load.first().cloned().unwrap_or_default();
        Some(Verdict {
            title: format!("{}: {sentence}", row.title),
            command: self.command.clone(),
            bar,
            measured,
            is_met,
        })
    }

    pub fn verdicts(&self) -> Vec<Verdict> {
        self.rows.iter().filter_map(|row| self.verdict(row)).collect()
    }

    /// For people: Markdown, so that it can be pasted into docs/performance.md.
    pub fn text(&self) -> String {
        let mut out = format!("`{}`\n\n{}\n\n", self.command, self.load.join("\n"));
        let contenders = self.contenders();
        let (compared, has_ceiling) = (contenders.len() == 2, self.rounds.iter().any(|round| round.ceiling.is_some()));
        let has_bars = self.rows.iter().any(|row| row.bar.is_some());
        let mut head: Vec<String> = vec!["median".into()];
        head.extend(contenders.iter().map(Contender::to_string));
        head.extend(compared.then(|| "Gatepost / Postfix".into()));
        head.extend(has_ceiling.then(|| "ceiling".into()));
        head.extend(has_ceiling.then(|| "Gatepost / ceiling".into()));
        if has_bars {
            head.extend(["bar".into(), "met".into()]);
        }
        let _ = writeln!(out, "| {} |\n|---|{}", head.join(" | "), "---:|".repeat(head.len() - 1));
        for row in &self.rows {
            let decimals = row.decimals;
            let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.decimals$}"));
            let mut cells = vec![row.title.to_owned()];
            cells.extend(contenders.iter().map(|contender| number(self.median(*contender, row.key))));
            if compared {
                cells.push(self.ratio(row.key).map_or(String::new(), |ratio| format!("{ratio:.2}")));
            }
            if has_ceiling {
                cells.push(number(self.ceiling(row.key)));
                let share = self.share_of_ceiling(Contender::Gatepost, row.key);
                cells.push(share.map_or(String::new(), |share| format!("{:.1} %", share * 100.0)));
            }
            if has_bars {
                let verdict = self.verdict(row);
                cells.push(verdict.as_ref().map_or(String::new(), |verdict| verdict.bar.clone()));
                cells.push(verdict.map_or(String::new(), |verdict| yes_no(verdict.is_met).into()));
            }
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        if let Some(row) = self.rows.first()
            && self.rounds.len() > 1
        {
            let _ = writeln!(out, "\n{}, round by round:", row.title);
            for (number, round) in self.rounds.iter().enumerate() {
                let ceiling = round.ceiling(row.key).map(|value| ("ceiling".to_owned(), value));
                let relays = round.relays.iter().filter_map(|(name, of)| Some((name.to_string(), *of.get(row.key)?)));
                let values = ceiling.into_iter().chain(relays);
                let decimals = row.decimals;
                let values: Vec<String> = values.map(|(name, value)| format!("{name} {value:.decimals$}")).collect();
                let _ = writeln!(out, "  {}: {}", number + 1, values.join(", "));
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "\n{note}");
        }
        out
    }

    pub fn json(&self) -> Value {
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .map(|round| {
                let mut value = json!({ "ceiling": round.ceiling });
                for (contender, figures) in &round.relays {
                    value[key(*contender)] = json!(figures);
                }
                value
            })
            .collect();
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let verdict = self.verdict(row);
                json!({
                    "figure": row.key,
                    "title": row.title,
                    "postfix": self.median(Contender::Postfix, row.key),
                    "gatepost": self.median(Contender::Gatepost, row.key),
                    "gatepost_to_postfix": self.ratio(row.key),
                    "ceiling": self.ceiling(row.key),
                    "gatepost_to_ceiling": self.share_of_ceiling(Contender::Gatepost, row.key),
                    "bar": verdict.as_ref().map(|verdict| &verdict.bar),
                    "is_met": verdict.as_ref().map(|verdict| verdict.is_met),
                })
            })
            .collect();
        json!({ "command": self.command, "load": self.load, "medians": rows, "rounds": rounds, "notes": self.notes })
    }
}

/// The table of all bars.
pub(super) fn bars(reports: &[Report]) -> String {
    let mut out = "| figure | bar | measured | met | command |\n|---|---|---:|---|---|\n".to_owned();
    for Verdict { title, bar, measured, is_met, command } in reports.iter().flat_map(Report::verdicts) {
        let _ = writeln!(out, "| {title} | {bar} | {measured} | {} | `{command}` |", yes_no(is_met));
    }
    out
}

pub(super) fn json(context: &Context, reports: &[Report]) -> Value {
    json!({ "context": context.json(), "reports": reports.iter().map(Report::json).collect::<Vec<_>>() })
}

fn yes_no(is_met: bool) -> &'static str {
    if is_met { "yes" } else { "NO" }
}

fn key(contender: Contender) -> &'static str {
    match contender {
        Contender::Postfix => "postfix",
        Contender::Gatepost => "gatepost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(ceiling: f64, postfix: f64, gatepost: f64) -> Round {
        let figures = |value| Figures::from([("rate_per_s", value), ("floor", 2.0)]);
        Round {
            ceiling: Some(figures(ceiling)),
            relays: vec![(Contender::Gatepost, figures(gatepost)), (Contender::Postfix, figures(postfix))],
        }
    }

    fn report(bar: Bar) -> Report {
        Report {
            command: "cargo xtask bench relay".into(),
            load: vec!["a load".into()],
            rows: vec![Row::new("rate_per_s", "rate of it", 1).bar(bar)],
            // Ratios 4 and 5, shares of the ceiling 0.8 and 0.5.
            rounds: vec![round(10.0, 2.0, 8.0), round(20.0, 2.0, 10.0)],
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        for (values, expected) in
            [(vec![], None), (vec![3.0], Some(3.0)), (vec![3.0, 1.0], Some(2.0)), (vec![9.0, 1.0, 2.0], Some(2.0))]
        {
            assert_eq!(median(values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn a_bar_is_met_or_not_by_the_medians_of_each_rounds_own_ratios() {
        for (bar, is_met) in [
            (Bar::TimesPostfix(4.5), true),
            (Bar::TimesPostfix(4.6), false),
            (Bar::TimesPostfixOrShareOfCeiling(6.0, 0.65), true),
            (Bar::TimesPostfixOrShareOfCeiling(4.0, 0.9), true),
            (Bar::TimesPostfixOrShareOfCeiling(6.0, 0.7), false),
            (Bar::AtMost(9.0), true),
            (Bar::AtMost(8.9), false),
            (Bar::AtLeast(9.0), true),
            (Bar::AtLeast(9.1), false),
            (Bar::AtMostBeyond("floor", 7.0), true),
            (Bar::AtMostBeyond("floor", 6.9), false),
        ] {
            let verdicts = report(bar).verdicts();
            assert_eq!(verdicts.len(), 1, "{bar:?}");
            assert_eq!(verdicts[0].is_met, is_met, "{bar:?}: {}", verdicts[0].measured);
        }
    }

    #[test]
    fn a_bar_beside_postfix_needs_a_postfix() {
        let mut alone = report(Bar::TimesPostfix(4.0));
        alone.rounds.iter_mut().for_each(|round| round.relays.retain(|(name, _)| *name == Contender::Gatepost));
        assert!(alone.verdicts().is_empty());
        assert!(alone.text().contains("| rate of it | 9.0 |"), "{}", alone.text());
    }
}
