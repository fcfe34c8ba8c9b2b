//! The timer for the heads of HTTP/1.1 requests.
//!
//! hyper makes a timer for each head and discards it with the head, so that a timer of the runtime would be
//! entered and removed for each request. This one stays entered: it is moved only when it fires, once in the
//! time that a head may take, or when a deadline is earlier.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The timer of one connection.
#[derive(Clone, Default)]
pub(super) struct HeadTimer(Arc<Mutex<Armed>>);

/// The timer of the runtime, once a deadline was waited for.
#[derive(Default)]
struct Armed {
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    /// The task that it wakes.
    waker: Option<Waker>,
}

struct HeadSleep {
    timer: HeadTimer,
    deadline: Instant,
}

impl Armed {
    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(deadline);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        let wakes = |waker: &Waker| waker.will_wake(cx.waker());
        if sleep.deadline() <= deadline
            && !sleep.is_elapsed()
            && self.waker.as_ref().is_some_and(wakes)
        {
            return Poll::Pending;
        }
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        self.waker = Some(cx.waker().clone());
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + time)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep {
            timer: self.clone(),
            deadline,
        })
    }

    /// As the runtime's, which tests can stop.
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut armed = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        armed.poll_until(self.deadline, cx)
    }
}

impl fmt::Debug for HeadTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadTimer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_met_with_one_timer() {
        let timer = HeadTimer::default();
        let start = timer.now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let passed = || (timer.now() - start).as_secs();
        let pending = async |seconds| {
            let mut sleep = timer.sleep_until(at(seconds));
            std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending())).await
        };
        let armed_until = || {
            let armed = timer.0.lock().unwrap();
            let deadline = armed.sleep.as_ref().unwrap().deadline();
            (deadline.into_std() - start).as_secs()
        };
        assert!(pending(30).await);
        for seconds in 31..60 {
            assert!(pending(seconds).await);
            assert_eq!(armed_until(), 30, "it stays until it fires");
        }
        timer.sleep_until(at(60)).await;
        assert_eq!((passed(), armed_until()), (60, 60));
        // An earlier one, also after the timer has fired.
        assert!(pending(100).await);
        timer.sleep_until(at(70)).await;
        assert_eq!(passed(), 70);
        tokio::time::sleep(Duration::from_secs(10)).await;
        timer.sleep_until(at(90)).await;
        assert_eq!(passed(), 90);
        timer.sleep_until(at(80)).await; // in the past
        assert_eq!(passed(), 90);
    }

    /// A connection can move to another task.
    #[tokio::test(start_paused = true)]
    async fn the_last_task_is_woken() {
        let timer = HeadTimer::default();
        let mut sleep = timer.sleep(Duration::from_secs(30));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        tokio::spawn(sleep).await.unwrap();
    }
}
