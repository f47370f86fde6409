//! Inputs that are programs: lists of steps, which a target carries out one by one.
//!
//! A step is a code, an argument, and octets with their length before them. What they mean is the
//! target's to say; every string of octets is some program.

use crate::random::Random;

#[derive(Debug, Clone)]
pub struct Step {
    pub code: u8,
    pub argument: u8,
    pub octets: Vec<u8>,
}

/// A step without octets.
pub fn step(code: u8, argument: u8) -> Step {
    Step { code, argument, octets: vec![] }
}

/// The steps of a program, whose codes are below `codes`.
pub fn steps(program: &[u8], codes: u8) -> Vec<Step> {
    let (mut rest, mut steps) = (program, vec![]);
    while let Some((&[code, argument, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (octets, after) = after.split_at(length);
        steps.push(Step { code: code % codes, argument, octets: octets.to_vec() });
        rest = after;
    }
    steps
}

pub fn program(steps: &[Step]) -> Vec<u8> {
    let one = |step: &Step| {
        let length = (step.octets.len() as u16).to_be_bytes();
        [&[step.code, step.argument], &length[..], &step.octets].concat()
    };
    steps.iter().flat_map(one).collect()
}

/// Mutates the list of steps; `change` mutates the octets of one, with the steps of another program.
pub fn mutate(
    random: &mut Random,
    (input, corpus): (&[u8], &[Vec<u8>]),
    codes: u8,
    change: fn(&mut Random, &mut Step, &[Step]),
) -> Vec<u8> {
    let mut list = steps(input, codes);
    let theirs = random.pick(corpus).map(|other| steps(other, codes)).unwrap_or_default();
    let at = random.below(list.len());
    match random.below(12) {
        0 if at < list.len() => drop(list.remove(at)),
        1 if at < list.len() => {
            let other = random.below(list.len());
            list.swap(at, other);
        }
        2 if at < list.len() => {
            let range = random.range(list.len());
            let copy = list[range].to_vec();
            list.splice(at..at, copy);
        }
        3 => {
            let range = random.range(theirs.len());
            list.splice(at..at, theirs[range].iter().cloned());
        }
        4 | 5 => list.insert(at, step(random.octet() % codes, random.octet())),
        6 if at < list.len() => list[at].argument = random.octet(),
        _ => {
            let said: Vec<usize> = (0..list.len()).filter(|at| !list[*at].octets.is_empty()).collect();
            if let Some(at) = random.pick(&said) {
                change(random, &mut list[*at], &theirs);
            }
        }
    }
    program(&list)
}
