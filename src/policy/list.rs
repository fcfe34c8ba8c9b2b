//! Several policies as one argument.

use super::Policy;

/// Several policies for [`any_of`](super::any_of) and [`all_of`](super::all_of): an array or a
/// `Vec` of one type, or a tuple of up to eight types.
///
/// `Box<dyn Policy<I>>` is a policy too. A `Vec` of boxes holds a list that is made at run time:
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::{Policy, policy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut rules: Vec<Box<dyn Policy<SpiffeId>>> = Vec::new();
/// for domain in ["example.org", "example.com"] {
///     rules.push(Box::new(policy::trust_domain(domain.parse()?)));
/// }
/// let callers = policy::any_of(rules);
/// # Ok(())
/// # }
/// ```
pub trait Policies<I>: Boxed<I> {}

impl<I, L: Boxed<I>> Policies<I> for L {}

mod sealed {
    use super::Policy;

    #[allow(unnameable_types)] // sealed: no other crate can implement it
    pub trait Boxed<I> {
        fn boxed(self) -> Vec<Box<dyn Policy<I>>>;
    }
}

pub(super) use sealed::Boxed;

impl<I, P: Policy<I> + 'static, const N: usize> Boxed<I> for [P; N] {
    fn boxed(self) -> Vec<Box<dyn Policy<I>>> {
        self.into_iter().map(boxed).collect()
    }
}

impl<I, P: Policy<I> + 'static> Boxed<I> for Vec<P> {
    fn boxed(self) -> Vec<Box<dyn Policy<I>>> {
        self.into_iter().map(boxed).collect()
    }
}

impl<I> Boxed<I> for () {
    fn boxed(self) -> Vec<Box<dyn Policy<I>>> {
        Vec::new()
    }
}

fn boxed<I>(policy: impl Policy<I> + 'static) -> Box<dyn Policy<I>> {
    Box::new(policy)
}

macro_rules! tuples {
    ($($policy:ident)+) => {
        #[allow(non_snake_case)] // the value has the name of its type
        impl<I, $($policy: Policy<I> + 'static),+> Boxed<I> for ($($policy,)+) {
            fn boxed(self) -> Vec<Box<dyn Policy<I>>> {
                let ($($policy,)+) = self;
                vec![$(Box::new($policy)),+]
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
