//! What is shown of limits: what is left of them, for whom.

use super::words;
use crate::base::json::Object;
use crate::base::text::grouped;
use crate::pipeline::{Shared, Snapshot};
use crate::quota::{LimitView, MeasureView, SubjectView};

/// How many limits are shown at most: where there are more, those with the fullest subjects. Each key may have its own.
const LIMITS_MAX: usize = 100;

/// How many subjects of each are shown.
const SUBJECTS_MAX: usize = 10;

/// All limits, as they are shown.
pub(super) struct LimitsView {
    /// In the order of the configuration, or the fullest first where not all are shown.
    pub limits: Vec<Shown>,
    /// How many more there are.
    pub more: usize,
    /// Subjects that are counted.
    pub subjects: u64,
    /// Times that one was counted with others, since there was no room for one more.
    pub crowded: u64,
}

/// One of them.
pub(super) struct Shown {
    /// How it stands.
    pub view: LimitView,
    /// Requests let in at once.
    pub admitted: u64,
    /// Requests let in after they stood in line.
    pub queued: u64,
}

/// The limits in force, with their fullest subjects.
pub(super) fn limits(snapshot: &Snapshot, shared: &Shared) -> LimitsView {
    let mut view = snapshot.limits.view(shared.moment(), SUBJECTS_MAX);
    let more = view.limits.len().saturating_sub(LIMITS_MAX);
    if more > 0 {
        view.limits.sort_by(|one, other| fullest(other).total_cmp(&fullest(one)));
        view.limits.truncate(LIMITS_MAX);
    }
    let counts: Vec<_> = snapshot.limits.admissions().collect();
    let shown = |view: LimitView| {
        let count = counts.iter().find(|count| count.limit == view.limit.name);
        let (admitted, queued) = count.map_or((0, 0), |count| (count.admitted, count.queued));
        Shown { view, admitted, queued }
    };
    LimitsView { limits: view.limits.into_iter().map(shown).collect(), more, subjects: view.meters, crowded: view.crowded }
}

/// The used share of the fullest bound of a limit's fullest subject.
pub(super) fn fullest(limit: &LimitView) -> f64 {
    limit.top.first().map_or(0.0, |subject| subject.measures.iter().map(used_share).fold(0.0, f64::max))
}

fn used_share(measure: &MeasureView) -> f64 {
    if measure.used() == 0 { 0.0 } else { measure.share() }
}

/// For programs.
pub(super) fn json(out: &mut Object<'_>, view: &LimitsView) {
    out.array("limits", |out| view.limits.iter().for_each(|limit| out.object(|out| limit_json(out, limit))));
    out.u64("limits_not_shown", view.more as u64);
    out.u64("limit_subjects", view.subjects);
    out.u64("limit_subjects_crowded", view.crowded);
}

fn limit_json(out: &mut Object<'_>, shown: &Shown) {
    let view = &shown.view;
    out.string("name", &view.limit.name);
    out.string("says", &words::says(&view.limit));
    out.object("bounds", |out| view.bounds.iter().for_each(|bound| out.verbatim(bound.measure.label(), &bound.measure.number(bound.most))));
    out.u64("subjects", view.subjects);
    out.u64("under_way", view.under_way);
    out.u64("waiting", view.waiting);
    out.u64("admitted", shown.admitted);
    out.u64("queued", shown.queued);
    out.array("fullest", |out| view.top.iter().for_each(|subject| out.object(|out| subject_json(out, subject))));
}

fn subject_json(out: &mut Object<'_>, subject: &SubjectView) {
    out.string("subject", &subject.name);
    out.u64("under_way", subject.under_way);
    out.u64("waiting", subject.waiting);
    out.array("bounds", |out| subject.measures.iter().for_each(|measure| out.object(|out| self::measure(out, measure))));
}

/// One bound of one subject.
pub(super) fn measure(out: &mut Object<'_>, of: &MeasureView) {
    out.string("bound", of.measure.label());
    let amounts = [("most", of.most), ("settled", of.settled), ("reserved", of.reserved), ("left", of.free())];
    amounts.into_iter().for_each(|(name, value)| out.verbatim(name, &of.measure.number(value)));
    match of.frees_in {
        Some(time) => out.verbatim("frees_in_seconds", &format!("{:.3}", time.as_secs_f64())),
        None => out.null("frees_in_seconds"),
    }
}

/// For people: one row for each limit.
pub(super) fn rows(view: &LimitsView) -> Vec<[String; 7]> {
    let row = |shown: &Shown| {
        let view = &shown.view;
        [
            view.limit.name.clone(),
            view.bounds.iter().map(words::bound).collect::<Vec<_>>().join(", "),
            words::says(&view.limit),
            grouped(view.subjects),
            grouped(view.under_way),
            grouped(view.waiting),
            grouped(shown.admitted + shown.queued),
        ]
    };
    view.limits.iter().map(row).collect()
}

/// For people: one row for each bound of which somebody used something.
pub(super) fn fullest_rows(view: &LimitsView) -> Vec<[String; 6]> {
    let mut rows = Vec::new();
    for Shown { view, .. } in &view.limits {
        for subject in &view.top {
            for measure in subject.measures.iter().filter(|measure| measure.used() > 0) {
                rows.push([
                    view.limit.name.clone(),
                    subject.name.clone(),
                    words::bound(measure),
                    format!("{:.0} %", measure.share() * 100.0),
                    words::amount(measure.measure, measure.free()),
                    measure.frees_in.map_or_else(|| "when those under way end".to_owned(), |time| format!("in {}", words::coarse(time))),
                ]);
            }
        }
    }
    rows
}
