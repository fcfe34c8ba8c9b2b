//! Puts many mutants of cargo-mutants into one program, in which a variable chooses one at run time:
//!
//!     countersign-mutants MUTANTS LEFT_OUT ROOT REGIONS
//!
//! MUTANTS is what `cargo mutants --list --json` prints, and LEFT_OUT the numbers (places in that list, one on each line) that are
//! left as they are. The files below ROOT are changed in place. REGIONS becomes a JSON object: for each file, which
//! bytes of the result belong to which mutants, so that an error of the compiler names them, and, as `without`, the
//! mutants that this program cannot put in.
//!
//! `a == b` with the mutant 7 becomes `(if ::mutant_switch::on(7) { a != b } else { a == b })`, a function
//! begins with `if ::mutant_switch::on(8) { return Ok(()); }`, and an arm of a match gets a guard.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

#[derive(Deserialize)]
struct Mutant {
    file: String,
    genre: String,
    replacement: String,
    span: Place,
}

#[derive(Deserialize)]
struct Place {
    start: Point,
    end: Point,
}

/// Both count from 1, in characters.
#[derive(Deserialize)]
struct Point {
    line: usize,
    column: usize,
}

#[derive(Default, Serialize)]
struct Regions {
    files: BTreeMap<String, Vec<(usize, usize, Vec<u32>)>>,
    without: Vec<u32>,
}

/// What of a file a mutant can change.
#[derive(Default)]
struct Places {
    /// The blocks of functions, with their braces.
    functions: Vec<Range<usize>>,
    /// Operations, each with its operator.
    operations: Vec<(Range<usize>, Range<usize>)>,
    structs: Vec<Range<usize>>,
    arms: Vec<Arm>,
}

struct Arm {
    whole: Range<usize>,
    pattern: Range<usize>,
    guard: Option<Range<usize>>,
    /// Another arm is for everything, so that this one can be missing.
    is_optional: bool,
}

impl<'ast> Visit<'ast> for Places {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.functions.push(item.block.span().byte_range());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.functions.push(item.block.span().byte_range());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        let block = item.default.as_ref();
        self.functions
            .extend(block.map(|block| block.span().byte_range()));
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, it: &'ast syn::ExprBinary) {
        if !has_let(&it.left) && !has_let(&it.right) {
            self.operations
                .push((it.span().byte_range(), it.op.span().byte_range()));
        }
        visit::visit_expr_binary(self, it);
    }

    fn visit_expr_unary(&mut self, it: &'ast syn::ExprUnary) {
        self.operations
            .push((it.span().byte_range(), it.op.span().byte_range()));
        visit::visit_expr_unary(self, it);
    }

    fn visit_expr_struct(&mut self, it: &'ast syn::ExprStruct) {
        self.structs.push(it.span().byte_range());
        visit::visit_expr_struct(self, it);
    }

    fn visit_expr_match(&mut self, it: &'ast syn::ExprMatch) {
        let is_for_all =
            |arm: &syn::Arm| arm.guard.is_none() && matches!(arm.pat, syn::Pat::Wild(_));
        for (place, arm) in it.arms.iter().enumerate() {
            let mut others = it
                .arms
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place);
            self.arms.push(Arm {
                whole: arm.span().byte_range(),
                pattern: arm.pat.span().byte_range(),
                guard: arm
                    .guard
                    .as_ref()
                    .map(|(_, guard)| guard.span().byte_range()),
                is_optional: others.any(|(_, arm)| is_for_all(arm)),
            });
        }
        visit::visit_expr_match(self, it);
    }
}

/// Whether a part of a condition binds names: it can be no operand of anything else.
fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(it) => has_let(&it.left) || has_let(&it.right),
        _ => false,
    }
}

/// The parts of the result that are no text of the file, each at its place.
#[derive(Default)]
struct Insertions(Vec<Insertion>);

struct Insertion {
    at: usize,
    /// At one place, what ends comes before what begins; of two that begin, the longer one is first, and of two
    /// that end, the shorter one.
    order: (bool, isize),
    text: String,
    parts: Parts,
    /// Begins or ends the region of these mutants.
    region: Option<(usize, bool)>,
}

impl Insertions {
    fn at(&mut self, at: usize, within: &Range<usize>, text: String, parts: Parts) {
        let order = (true, -(within.len() as isize));
        self.0.push(Insertion {
            at,
            order,
            text,
            parts,
            region: None,
        });
    }

    fn before(&mut self, place: &Range<usize>, text: String, parts: Parts, region: usize) {
        let order = (true, -(place.len() as isize));
        let region = Some((region, true));
        self.0.push(Insertion {
            at: place.start,
            order,
            text,
            parts,
            region,
        });
    }

    fn after(&mut self, place: &Range<usize>, at: usize, text: &str, region: usize) {
        let order = (false, place.len() as isize);
        let region = Some((region, false));
        self.0.push(Insertion {
            at,
            order,
            text: text.to_owned(),
            parts: Vec::new(),
            region,
        });
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mutants, left_out, root, regions] = arguments.as_slice() else {
        panic!("usage: countersign-mutants MUTANTS LEFT_OUT ROOT REGIONS");
    };
    let read = |path: &str| {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let mutants: Vec<Mutant> = serde_json::from_str(&read(mutants)).expect("a list of mutants");
    let left_out: HashSet<u32> = read(left_out)
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    let mut of_files: BTreeMap<&str, Vec<(u32, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in (0..).zip(&mutants) {
        if !left_out.contains(&number) {
            of_files
                .entry(&mutant.file)
                .or_default()
                .push((number, mutant));
        }
    }
    let mut all = Regions::default();
    for (file, mutants) in of_files {
        let path = Path::new(root).join(file);
        let text = read(path.to_str().expect("a path in UTF-8"));
        let (result, of_file) = instrument(&text, &mutants, &mut all.without);
        std::fs::write(&path, result).expect("the file is written");
        all.files.insert(file.to_owned(), of_file);
    }
    std::fs::write(regions, serde_json::to_string(&all).expect("JSON"))
        .expect("the regions are written");
}

/// The mutants of one place, each with what it puts there.
type Changes = Vec<(u32, String)>;

/// Parts of a text, with their mutants.
type Parts = Vec<(Range<usize>, Vec<u32>)>;

type Found = Vec<(usize, usize, Vec<u32>)>;

fn instrument(text: &str, mutants: &[(u32, &Mutant)], without: &mut Vec<u32>) -> (String, Found) {
    let mut places = Places::default();
    places.visit_file(&syn::parse_file(text).expect("Rust"));
    let mut returns: BTreeMap<usize, (Range<usize>, Changes)> = BTreeMap::new();
    let mut wrapped: BTreeMap<(usize, usize), Changes> = BTreeMap::new();
    let mut arms: BTreeMap<usize, Vec<(u32, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in mutants {
        let at = offset(text, &mutant.span.start)..offset(text, &mutant.span.end);
        let around = |place: &Range<usize>| place.start <= at.start && at.end <= place.end;
        let wrap = match mutant.genre.as_str() {
            "FnValue" => {
                let mut around: Vec<_> = places.functions.iter().filter(|it| around(it)).collect();
                around.sort_by_key(|it| it.len());
                match around.first() {
                    Some(block) => returns
                        .entry(block.start)
                        .or_insert_with(|| ((*block).clone(), Vec::new()))
                        .1
                        .push((*number, mutant.replacement.clone())),
                    None => without.push(*number),
                }
                continue;
            }
            "MatchArm" | "MatchArmGuard" => {
                let of_mutant = |arm: &Arm| match &arm.guard {
                    Some(guard) if mutant.genre == "MatchArmGuard" => guard.start == at.start,
                    _ => {
                        mutant.genre == "MatchArm" && arm.is_optional && arm.whole.start == at.start
                    }
                };
                match places.arms.iter().position(of_mutant) {
                    Some(arm) => arms.entry(arm).or_default().push((*number, mutant)),
                    None => without.push(*number),
                }
                continue;
            }
            "BinaryOperator" | "UnaryOperator" => {
                let mut operations = places.operations.iter();
                operations
                    .find(|(_, operator)| operator.start == at.start)
                    .map(|(whole, _)| whole)
            }
            _ => places
                .structs
                .iter()
                .filter(|it| around(it))
                .min_by_key(|it| it.len()),
        };
        match wrap {
            None => without.push(*number),
            Some(whole) => {
                let changed = [
                    &text[whole.start..at.start],
                    &mutant.replacement,
                    &text[at.end..whole.end],
                ]
                .concat();
                wrapped
                    .entry((whole.start, whole.end))
                    .or_default()
                    .push((*number, changed));
            }
        }
    }

    let mut insertions = Insertions::default();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut group = |numbers: Vec<u32>| {
        groups.push(numbers);
        groups.len() - 1
    };
    for (block, mutants) in returns.into_values() {
        let (text, parts) = choices(&mutants, |number, value| {
            format!("if ::mutant_switch::on({number}) {{ return {value}; }} ")
        });
        // An error elsewhere in the function is of one of its results, as with `impl Trait`.
        let region = group(mutants.iter().map(|(number, _)| *number).collect());
        let inside = block.start + 1..block.end - 1;
        insertions.before(&inside, text, parts, region);
        insertions.after(&inside, inside.end, "", region);
    }
    for ((start, end), mutants) in wrapped {
        let region = group(mutants.iter().map(|(number, _)| *number).collect());
        let (mut text, mut parts) = choices(&mutants, |number, changed| {
            format!("if ::mutant_switch::on({number}) {{ {changed} }} else ")
        });
        text.insert(0, '(');
        for (part, _) in &mut parts {
            *part = part.start + 1..part.end + 1;
        }
        text.push_str("{ ");
        insertions.before(&(start..end), text, parts, region);
        insertions.after(&(start..end), end, " })", region);
    }
    for (place, mutants) in arms {
        let arm = &places.arms[place];
        let numbers: Vec<u32> = mutants.iter().map(|(number, _)| *number).collect();
        let one = |wanted: &dyn Fn(&Mutant) -> bool| {
            mutants
                .iter()
                .find(|(_, it)| wanted(it))
                .map(|(number, _)| number)
        };
        let deleted = one(&|it| it.genre == "MatchArm");
        let always = one(&|it| it.genre == "MatchArmGuard" && it.replacement == "true");
        let never = one(&|it| it.genre == "MatchArmGuard" && it.replacement == "false");
        let mut condition = String::from("(");
        let mut put = |number: Option<&u32>, not: &str, and: &str| {
            if let Some(number) = number {
                write!(condition, "{not}::mutant_switch::on({number}) {and} (").expect("a text");
            } else {
                condition.push('(');
            }
        };
        put(deleted, "!", "&&");
        put(always, "", "||");
        put(never, "!", "&&");
        match &arm.guard {
            Some(guard) => {
                let region = group(numbers);
                insertions.before(&(guard.start..arm.whole.end), condition, Vec::new(), region);
                insertions.after(&(guard.start..arm.whole.end), guard.end, "))))", region);
            }
            None => {
                let text = format!(" if {condition} true))))");
                let parts = vec![(0..text.len(), numbers)];
                insertions.at(arm.pattern.end, &arm.whole, text, parts);
            }
        }
    }
    assemble(text, insertions, &groups)
}

/// The alternatives one after another, with the place of each.
fn choices(mutants: &[(u32, String)], write: impl Fn(u32, &str) -> String) -> (String, Parts) {
    let mut text = String::from(" ");
    let mut parts = Vec::new();
    for (number, changed) in mutants {
        let start = text.len();
        text.push_str(&write(*number, changed));
        parts.push((start..text.len(), vec![*number]));
    }
    (text, parts)
}

fn assemble(text: &str, mut insertions: Insertions, groups: &[Vec<u32>]) -> (String, Found) {
    insertions.0.sort_by_key(|it| (it.at, it.order));
    let mut result = String::with_capacity(text.len() * 3);
    let mut regions = Found::new();
    let mut starts = vec![None; groups.len()];
    let mut done = 0;
    for insertion in insertions.0 {
        result.push_str(&text[done..insertion.at]);
        done = insertion.at;
        let start = result.len();
        for (part, numbers) in insertion.parts {
            regions.push((start + part.start, start + part.end, numbers));
        }
        result.push_str(&insertion.text);
        match insertion.region {
            Some((region, true)) => starts[region] = Some(start),
            Some((region, false)) => {
                let start = starts[region].expect("a region begins before it ends");
                regions.push((start, result.len(), groups[region].clone()));
            }
            None => {}
        }
    }
    result.push_str(&text[done..]);
    (result, regions)
}

/// The place of a point in the bytes of a text.
fn offset(text: &str, point: &Point) -> usize {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(point.line - 1).map(str::len).sum();
    let line = lines.next().unwrap_or_default();
    let characters = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    before + characters.take(point.column).last().unwrap_or_default()
}
