//! Sums and differences of resources. What is reserved for different roles is different, and never
//! summed up here.

use mesos_messages as messages;

use crate::values::{Resource, Value, round};

/// Adds up.
pub(crate) fn add(all: &mut Vec<Resource>, more: &[Resource]) {
    for resource in more {
        match (find(all, resource), &resource.value) {
            (Some(Value::Scalar(sum)), Value::Scalar(more)) => *sum = round(*sum + more),
            (Some(Value::Ranges(sum)), Value::Ranges(more)) => {
                sum.extend(more);
                *sum = merged(sum);
            }
            (Some(Value::Set(sum)), Value::Set(more)) => sum.extend(more.iter().cloned()),
            _ => all.push(resource.clone()),
        }
    }
}

/// Takes away; `false`, and nothing is changed, where there is less than that.
#[must_use]
pub(crate) fn subtract(all: &mut Vec<Resource>, less: &[Resource]) -> bool {
    let mut rest = all.clone();
    for resource in less {
        let enough = match (find(&mut rest, resource), &resource.value) {
            (Some(Value::Scalar(sum)), Value::Scalar(less)) => {
                *sum = round(*sum - less);
                *sum >= 0.0
            }
            (Some(Value::Ranges(sum)), Value::Ranges(less)) => {
                less.iter().all(|range| cut(sum, *range))
            }
            (Some(Value::Set(sum)), Value::Set(less)) => {
                let there = less.iter().all(|item| sum.contains(item));
                sum.retain(|item| !less.contains(item));
                there
            }
            _ => false,
        };
        if !enough {
            return false;
        }
    }
    rest.retain(|resource| !is_empty(&resource.value));
    *all = rest;
    true
}

pub(crate) fn contains(all: &[Resource], part: &[Resource]) -> bool {
    subtract(&mut all.to_vec(), part)
}

/// A scalar, summed up over all roles.
pub(crate) fn scalar(resources: &[Resource], name: &str) -> f64 {
    let named = resources.iter().filter(|resource| resource.name == name);
    round(named.filter_map(|resource| resource.value.scalar()).sum())
}

/// `cpus(allocated: etl)(reservations: [(STATIC,etl)]):2; mem(allocated: etl):896`.
pub(crate) fn print(resources: &[Resource], allocated: &str) -> String {
    let printed = resources.iter().map(|resource| {
        let reserved =
            resource.role.as_deref().map(|role| format!("(reservations: [(STATIC,{role})])"));
        let reserved = reserved.unwrap_or_default();
        format!("{}(allocated: {allocated}){reserved}:{}", resource.name, resource.value.print())
    });
    printed.collect::<Vec<_>>().join("; ")
}

/// Reads a message, whether it names the reservation in the old form or in the new one.
pub(crate) fn of_message(message: &messages::Resource) -> Option<Resource> {
    let reserved = message.reservations.last().and_then(|reservation| reservation.role.as_deref());
    let role = reserved.unwrap_or(message.role());
    let value = match message.r#type() {
        messages::ValueType::Scalar => Value::Scalar(round(message.scalar?.value)),
        messages::ValueType::Ranges => {
            let ranges = message.ranges.as_ref()?.range.iter();
            Value::Ranges(merged(&ranges.map(|range| (range.begin, range.end)).collect::<Vec<_>>()))
        }
        messages::ValueType::Set => Value::Set(message.set.as_ref()?.item.clone()),
        messages::ValueType::Text => return None,
    };
    let good = match &value {
        Value::Scalar(number) => number.is_finite() && *number >= 0.0,
        Value::Ranges(ranges) => ranges.iter().all(|(begin, end)| begin <= end),
        Value::Set(_) | Value::Text(_) => true,
    };
    let role = (role != "*").then(|| role.to_owned());
    good.then(|| Resource { name: message.name.clone(), role, value })
}

/// How a framework wants to be told of reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By the field `role`.
    Old,
    /// By the stack of reservations: with the capability RESERVATION_REFINEMENT.
    Refined,
}

/// `allocated` is the role for which it is offered, where the framework has several.
pub(crate) fn to_message(
    resource: &Resource,
    form: Form,
    allocated: Option<&str>,
) -> messages::Resource {
    let mut message = messages::Resource { name: resource.name.clone(), ..Default::default() };
    match &resource.value {
        Value::Scalar(value) => {
            message.set_type(messages::ValueType::Scalar);
            message.scalar = Some(messages::Scalar { value: *value });
        }
        Value::Ranges(ranges) => {
            message.set_type(messages::ValueType::Ranges);
            message.ranges = Some(ranges_message(ranges));
        }
        Value::Set(item) => {
            message.set_type(messages::ValueType::Set);
            message.set = Some(messages::Set { item: item.clone() });
        }
        // No agent has such a resource.
        Value::Text(_) => message.set_type(messages::ValueType::Text),
    }
    match (form, &resource.role) {
        (Form::Old, role) => message.role = Some(role.clone().unwrap_or_else(|| "*".to_owned())),
        (Form::Refined, None) => {}
        (Form::Refined, Some(role)) => {
            let kind = Some(messages::ReservationType::Static as i32);
            let role = Some(role.clone());
            message.reservations =
                vec![messages::ReservationInfo { role, r#type: kind, principal: None }];
        }
    }
    message.allocation_info =
        allocated.map(|role| messages::AllocationInfo { role: Some(role.to_owned()) });
    message
}

/// The ranges of a resource or of an attribute.
pub(crate) fn ranges_message(ranges: &[(u64, u64)]) -> messages::Ranges {
    let range = ranges.iter().map(|&(begin, end)| messages::Range { begin, end });
    messages::Ranges { range: range.collect() }
}

fn find<'a>(all: &'a mut [Resource], wanted: &Resource) -> Option<&'a mut Value> {
    all.iter_mut()
        .find(|other| other.name == wanted.name && other.role == wanted.role)
        .map(|other| &mut other.value)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Scalar(number) => *number == 0.0,
        Value::Ranges(ranges) => ranges.is_empty(),
        Value::Set(items) => items.is_empty(),
        Value::Text(_) => false,
    }
}

fn merged(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in sorted {
        match merged.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => merged.push((begin, end)),
        }
    }
    merged
}

/// Cuts one range out of disjoint ones; whether all of it was there.
fn cut(ranges: &mut Vec<(u64, u64)>, (begin, end): (u64, u64)) -> bool {
    let around = ranges.iter().position(|range| range.0 <= begin && end <= range.1);
    let Some(around) = around else { return false };
    let (first, last) = ranges.remove(around);
    if end < last {
        ranges.insert(around, (end + 1, last));
    }
    if first < begin {
        ranges.insert(around, (first, begin - 1));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    fn read(text: &str) -> Vec<Resource> {
        values::resources(text, "*").expect("good resources")
    }

    #[test]
    fn what_is_taken_away_and_given_back_is_as_before() {
        let all = read("cpus:2;cpus(etl):1;mem:100.5;ports:[1-10]");
        for part in ["cpus:2", "cpus(etl):0.4;mem:0.001", "ports:[3-4,10-10]", "mem:100.5"] {
            let mut rest = all.clone();
            assert!(subtract(&mut rest, &read(part)), "{part}");
            assert!(!contains(&rest, &all), "{part}");
            add(&mut rest, &read(part));
            assert!(contains(&rest, &all) && contains(&all, &rest), "{part}: {rest:?}");
        }
        let mut rest = all.clone();
        for part in ["cpus:2.5", "cpus(dev):1", "ports:[10-11]", "gpus:1"] {
            assert!(!subtract(&mut rest, &read(part)), "{part}");
        }
        assert_eq!(rest, all);
        assert_eq!(scalar(&all, "cpus"), 3.0);
    }

    #[test]
    fn both_forms_of_a_reservation_are_read() {
        for resource in read("cpus:2;cpus(etl):1;ports:[1-2,5-9]") {
            for form in [Form::Old, Form::Refined] {
                let message = to_message(&resource, form, Some("etl"));
                assert_eq!(of_message(&message), Some(resource.clone()), "{message:?}");
            }
        }
    }

    #[test]
    fn they_are_printed_as_the_real_one_does() {
        assert_eq!(
            print(&read("cpus:2;mem(etl):896"), "etl"),
            "cpus(allocated: etl):2; mem(allocated: etl)(reservations: [(STATIC,etl)]):896"
        );
    }
}
