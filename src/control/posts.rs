//! Tasks that go on as long as the process: listeners, housekeeping, the admin.
//!
//! One that ends all the same leaves a process that looks well and does not do its work: a port that refuses while others
//! say that all is well. What state it left behind nobody knows, so it is not started again in here: `/readyz` says 503, and
//! the process stops as it does when it is told to, with an error status, and is started anew by whoever looks after it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::edge::watch::Stage;

/// All of a process.
#[derive(Debug, Clone)]
pub struct Posts(Arc<watch::Sender<Option<String>>>);

/// One of them; held by its task, and dropped with it, by a panic too.
#[derive(Debug)]
pub struct Post {
    name: String,
    stage: watch::Receiver<Stage>,
    posts: Posts,
}

impl Default for Posts {
    fn default() -> Posts {
        Posts(Arc::new(watch::Sender::new(None)))
    }
}

impl Posts {
    /// One with this name, which may end from [`Stage::Closed`] on.
    pub fn take(&self, name: String, stage: watch::Receiver<Stage>) -> Post {
        Post { name, stage, posts: self.clone() }
    }

    /// The first one that has ended before its time.
    pub fn failed(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until one ends before its time.
    pub async fn fails(&self) -> String {
        let mut failed = self.0.subscribe();
        loop {
            if let Some(name) = failed.borrow_and_update().clone() {
                return name;
            }
            // The sender is in `self`, so there is always one.
            let _ = failed.changed().await;
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if *self.stage.borrow() < Stage::Closed {
            self.posts.0.send_if_modified(|failed| {
                let first = failed.is_none();
                failed.get_or_insert_with(|| std::mem::take(&mut self.name));
                first
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_before_its_time_is_told_however_it_ends() {
        for panics in [true, false] {
            let (stage, posts) = (watch::Sender::new(Stage::Serving), Posts::default());
            let post = posts.take("the listener".to_owned(), stage.subscribe());
            let next = posts.take("the admin".to_owned(), stage.subscribe());
            assert_eq!(posts.failed(), None);
            let task = tokio::spawn(async move {
                let _post = post;
                assert!(!panics, "as it should");
            });
            assert_eq!(posts.fails().await, "the listener");
            assert_eq!(task.await.is_err(), panics);
            drop(next);
            assert_eq!(posts.failed().as_deref(), Some("the listener"), "what follows from it is not told");
        }
    }

    #[test]
    fn a_task_that_was_told_to_end_may() {
        let (stage, posts) = (watch::Sender::new(Stage::Serving), Posts::default());
        let post = posts.take("the listener".to_owned(), stage.subscribe());
        stage.send_replace(Stage::Closed);
        drop(post);
        assert_eq!(posts.failed(), None);
    }
}
