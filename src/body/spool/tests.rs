use http_body_util::BodyExt;

use super::*;

fn budget() -> Arc<Budget> {
    Arc::new(Budget::beside(4000, 0))
}

async fn read(reader: &mut SpoolReader) -> Option<Result<Bytes, BodyError>> {
    Some(reader.frame().await?.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Whether a future would have to wait.
async fn waits<F: Future>(future: Pin<&mut F>) -> bool {
    let mut future = future;
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

const PIECE: Bytes = Bytes::from_static(&[7; WINDOW]);

#[tokio::test]
async fn readers_follow_at_their_own_pace_and_late_ones_get_all() {
    let budget = budget();
    let spool = Spool::kept(None, &budget, 1000).unwrap();
    let mut early = spool.reader().unwrap();
    spool.keep(Bytes::from_static(b"one")).unwrap();
    assert_eq!(read(&mut early).await.unwrap().unwrap(), "one");
    spool.keep(Bytes::from_static(b"two")).unwrap();
    let late = spool.reader().unwrap();
    assert_eq!(budget.used(), 6);
    let whole = spool.whole(&Bytes::from_static(b"three")).unwrap();
    assert_eq!(whole, "onetwothree");
    spool.finish_with(whole);
    assert_eq!(budget.used(), 0, "what is stored is the store's");
    assert_eq!(late.collect().await.unwrap().to_bytes(), "onetwothree");
    assert_eq!(read(&mut early).await.unwrap().unwrap(), "twothree");
    assert!(early.is_end_stream());
    assert!(read(&mut early).await.is_none());
    assert_eq!(spool.reader().unwrap().collect().await.unwrap().to_bytes(), "onetwothree");
}

/// Each would take the room of many otherwise.
#[tokio::test]
async fn bytes_that_come_one_by_one_are_held_together() {
    const LENGTH: usize = 3 * GATHERED;
    let whole: Bytes = (0..LENGTH).map(|i| i as u8).collect();
    for finish in [Spool::finish, |spool: &Spool| spool.finish_with(spool.whole(&Bytes::new()).unwrap())] {
        let spool = Spool::kept(None, &Arc::new(Budget::beside(0, LENGTH as u64)), LENGTH as u64).unwrap();
        let (mut fast, mut behind) = (spool.reader().unwrap(), spool.reader().unwrap());
        let (mut by_fast, mut by_behind) = (Vec::new(), Vec::new());
        for (i, byte) in whole.chunks(1).enumerate() {
            spool.keep(whole.slice_ref(byte)).unwrap();
            by_fast.extend(read(&mut fast).await.unwrap().unwrap());
            if i % 1000 == 0 {
                by_behind.extend(read(&mut behind).await.unwrap().unwrap());
            }
        }
        assert_eq!(spool.lock().chunks.len(), 3);
        finish(&spool);
        assert!(fast.is_end_stream() && read(&mut fast).await.is_none());
        by_behind.extend(behind.collect().await.unwrap().to_bytes());
        assert!(by_fast == whole && by_behind == whole);
    }
    let spool = Spool::window(None, &budget());
    let mut slow = spool.reader().unwrap();
    for byte in whole.chunks(1).take(WINDOW) {
        assert_eq!(spool.pass_on(whole.slice_ref(byte)).await, Passed::On);
    }
    assert_eq!(spool.lock().chunks.len(), 3);
    assert_eq!(read(&mut slow).await.unwrap().unwrap().len(), GATHERED);
}

#[tokio::test]
async fn whoever_has_read_all_is_at_the_end_when_it_is_stored() {
    let spool = Spool::kept(None, &budget(), 1000).unwrap();
    let mut reader = spool.reader().unwrap();
    spool.keep(Bytes::from_static(b"all")).unwrap();
    read(&mut reader).await;
    spool.finish_with(spool.whole(&Bytes::new()).unwrap());
    assert!(reader.is_end_stream() && read(&mut reader).await.is_none());
}

#[tokio::test]
async fn a_broken_body_is_an_error_to_readers_and_is_never_whole() {
    let budget = budget();
    let spool = Spool::kept(Some(10), &budget, 1000).unwrap();
    let mut reader = spool.reader().unwrap();
    spool.keep(Bytes::from_static(b"half")).unwrap();
    assert_eq!(budget.used(), 10, "what is announced is taken at once");
    spool.fail();
    assert_eq!(read(&mut reader).await.unwrap().unwrap(), "half");
    assert!(read(&mut reader).await.unwrap().is_err());
    assert_eq!(spool.whole(&Bytes::new()), None);
    drop((reader, spool));
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn what_cannot_be_kept_is_a_window() {
    let budget = budget();
    assert_eq!(Spool::kept(Some(5), &budget, 4).unwrap_err(), NoRoom::TooLong);
    assert_eq!(Spool::kept(Some(1001), &budget, 5000).unwrap_err(), NoRoom::Budget);
    let spool = Spool::kept(None, &budget, 4).unwrap();
    spool.keep(Bytes::from_static(b"abcd")).unwrap();
    assert_eq!(spool.keep(Bytes::from_static(b"e")), Err((Bytes::from_static(b"e"), NoRoom::TooLong)));
    assert!(!spool.is_kept());
    let mut reader = spool.reader().expect("nothing is gone yet");
    assert_eq!(spool.pass_on(Bytes::from_static(b"e")).await, Passed::On);
    assert_eq!(read(&mut reader).await.unwrap().unwrap(), "abcde");
    assert_eq!(spool.pass_on(Bytes::from_static(b"f")).await, Passed::On);
    assert!(spool.reader().is_none(), "the beginning is gone");
    assert_eq!(budget.used(), 1);
    spool.finish();
    assert_eq!(reader.collect().await.unwrap().to_bytes(), "f");
    assert_eq!(spool.whole(&Bytes::new()), None);
}

#[tokio::test]
async fn alone_a_slow_reader_is_waited_for() {
    let spool = Spool::window(None, &budget());
    let mut only = spool.reader().unwrap();
    spool.pass_on(PIECE).await;
    let mut more = std::pin::pin!(spool.pass_on(PIECE));
    assert!(waits(more.as_mut()).await, "back-pressure");
    assert_eq!(read(&mut only).await.unwrap().unwrap(), PIECE);
    assert_eq!(more.await, Passed::On);
    drop(only);
    assert_eq!(spool.pass_on(PIECE).await, Passed::Unread);
}

#[tokio::test]
async fn others_wait_for_the_slowest_for_a_bounded_time() {
    let budget = budget();
    let spool = Spool::window(None, &budget);
    let (mut fast, mut slow) = (spool.reader().unwrap(), spool.reader().unwrap());
    spool.pass_on(PIECE).await;
    read(&mut fast).await;
    {
        let mut wanted = std::pin::pin!(read(&mut fast));
        assert!(waits(wanted.as_mut()).await);
        let mut more = std::pin::pin!(spool.pass_on(PIECE));
        assert!(waits(more.as_mut()).await, "it may still come after");
        assert_eq!(budget.used(), WINDOW);
    }
    // As after half a minute of such waiting.
    spool.lock().stalled(Duration::from_secs(30));
    {
        let mut wanted = std::pin::pin!(read(&mut fast));
        assert!(waits(wanted.as_mut()).await);
        assert_eq!(spool.pass_on(PIECE).await, Passed::On);
        assert_eq!(wanted.await.unwrap().unwrap(), PIECE);
    }
    assert!(read(&mut slow).await.unwrap().is_err(), "it sees that it was cut off");
    assert_eq!(spool.pass_on(PIECE).await, Passed::On);
    assert_eq!(budget.used(), WINDOW, "the one that was cut off holds nothing");
}

#[test]
fn patience_comes_back_with_what_is_passed_on() {
    let mut pace = Pace(Duration::from_secs(1));
    pace.passed(1 << 19);
    assert_eq!(pace.0, Duration::from_millis(1500));
    pace.passed(1 << 30);
    assert_eq!(pace.0, PATIENCE);
}

#[tokio::test]
async fn it_is_known_when_nobody_reads() {
    let spool = Spool::kept(None, &budget(), 1000).unwrap();
    spool.unread().await;
    let reader = spool.reader().unwrap();
    let mut unread = std::pin::pin!(spool.unread());
    assert!(waits(unread.as_mut()).await);
    drop(reader);
    unread.await;
}
