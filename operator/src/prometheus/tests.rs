use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

fn read(data: &str) -> Answer {
    answer::<5>(serde_json::from_str(data).unwrap())
}

#[test]
fn histograms_of_an_instant_and_of_a_range() {
    let one = r#"[12.5, {"count": "3", "sum": "0.7", "buckets": [
        [0, "0.21022410381342865", "0.2292516654553594", "1"], [0, "0.25", "0.2726269331663144", "2"]]}]"#;
    let expected = Histogram {
        count: 3.0,
        sum: 0.7,
        buckets: vec![
            Bucket { lower: 0.210_224_103_813_428_65, upper: 0.229_251_665_455_359_4, count: 1.0 },
            Bucket { lower: 0.25, upper: 0.272_626_933_166_314_4, count: 2.0 },
        ],
    };
    let labels: Labels = [("runner".to_owned(), "a".to_owned())].into();
    let expected = Answer::Histograms(vec![(labels, vec![(12.5, expected)])]);
    let instant = format!(
        r#"{{"resultType": "vector", "result": [{{"metric": {{"runner": "a"}}, "histogram": {one}}}]}}"#
    );
    let range = format!(
        r#"{{"resultType": "matrix", "result": [{{"metric": {{"runner": "a"}}, "histograms": [{one}]}}]}}"#
    );
    assert_eq!(read(&instant), expected);
    assert_eq!(read(&range), expected);
}

/// A server that writes a part again and again within the list of an answer, or as much of it as is read.
async fn serve(kind: &str, part: String, times: usize) -> (Prometheus, Arc<Rooms>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let begin = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
         {{\"status\": \"success\", \"data\": {{\"resultType\": \"{kind}\", \"result\": ["
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (begin, part) = (begin.clone(), part.clone());
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let _ = stream.read(&mut head).await.unwrap();
                // Without a length: it ends with the connection.
                stream.write_all(begin.as_bytes()).await.unwrap();
                for n in 0..times {
                    let comma = if n == 0 || part.starts_with(' ') { "" } else { "," };
                    let sent = async {
                        stream.write_all(comma.as_bytes()).await?;
                        stream.write_all(part.as_bytes()).await
                    };
                    if sent.await.is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(b"]}}").await;
            });
        }
    });
    let rooms = Arc::new(Rooms::default());
    (Prometheus::new(&format!("http://{address}"), None, rooms.clone()).unwrap(), rooms)
}

fn request(kind: RequestKind) -> Request {
    Request { id: 0, question: "{__name__=~\".+\"}".to_owned().into(), kind }
}

const INSTANT: RequestKind = RequestKind::Instant { at: jiff::Timestamp::UNIX_EPOCH };

fn range() -> Request {
    let at = jiff::Timestamp::UNIX_EPOCH;
    request(RequestKind::Range { from: at, to: at, step: Duration::from_secs(1) })
}

const SPACES: usize = 64 << 10;

async fn refused(prometheus: &Prometheus, purpose: Purpose) -> String {
    let error = prometheus.answer(&request(INSTANT), purpose).await.unwrap_err();
    let QueryError::Refused(why) = error else { panic!("{error}") };
    why
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_with_advice() {
    let (prometheus, _rooms) = serve("vector", " ".repeat(SPACES), 3200).await;
    let why = refused(&prometheus, Purpose::Figure).await;
    assert!(why.starts_with("its answer is larger than 12288 KiB: aggregate the query, as in sum("), "{why}");
    let why = refused(&prometheus, Purpose::Look).await;
    assert!(why.starts_with("its answer is larger than 256 KiB: "), "{why}");
}

#[tokio::test]
async fn a_large_answer_is_read_and_what_is_short_does_not_wait_for_it() {
    let (large, rooms) = serve("vector", " ".repeat(SPACES), 48).await;
    let (short, _rooms) = serve("vector", " ".to_owned(), 1).await;
    let reading = rooms.large().await;
    let asked = request(INSTANT);
    let mut waits = std::pin::pin!(large.answer(&asked, Purpose::Figure));
    tokio::select! {
        answer = &mut waits => panic!("two at once: {answer:?}"),
        answer = short.answer(&asked, Purpose::Figure) => {
            assert_eq!(answer.unwrap(), Answer::Vector(Vec::new()));
        }
    }
    drop(reading);
    assert_eq!(waits.await.unwrap(), Answer::Vector(Vec::new()));
}

/// Some bytes of text become many in memory: what counts is those.
#[tokio::test]
async fn an_answer_of_many_series_takes_no_more_memory_than_one_may() {
    let one = r#"{"metric": {"a": "1"}, "value": [1, "1"]}"#.to_owned();
    let (prometheus, _rooms) = serve("vector", one, 100_000).await;
    let Answer::Failed(why) = prometheus.answer(&request(INSTANT), Purpose::Figure).await.unwrap() else {
        panic!("it was kept")
    };
    assert!(why.starts_with("its answer, with 100000 series, takes more than 8 MiB: "), "{why}");
}

#[tokio::test]
async fn points_of_many_series_are_no_figure() {
    let one = r#"{"metric": {"a": "1"}, "values": [[1, "1"]]}"#.to_owned();
    let (prometheus, _rooms) = serve("matrix", one, 201).await;
    let Answer::Failed(why) = prometheus.answer(&range(), Purpose::Figure).await.unwrap() else {
        panic!("it was kept")
    };
    assert!(why.starts_with("it gives more than 200 series: wrap it in sum(), max() or min()"), "{why}");
    let Answer::Matrix(all) = prometheus.answer(&range(), Purpose::Cells).await.unwrap() else {
        panic!("all series of k6 are wanted")
    };
    assert_eq!(all.len(), 201);
}

#[test]
fn an_empty_histogram_has_no_buckets() {
    let data = r#"{"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {"count": "0", "sum": "0"}]}]}"#;
    let expected = Answer::Histograms(vec![(Labels::new(), vec![(1.0, Histogram::default())])]);
    assert_eq!(read(data), expected);
}

#[test]
fn alerting_rules() {
    let data = r#"{"groups": [{"name": "chat", "file": "f", "interval": 15, "rules": [
        {"name": "DbmanDown", "type": "alerting", "duration": 30, "query": "up == 0", "alerts": []},
        {"name": "Other", "type": "alerting", "duration": 60, "query": "up == 0", "alerts": []}]}]}"#;
    let groups: Groups = serde_json::from_str(data).unwrap();
    let rule = AlertRule { holds_for: 30.0, every: 15.0 };
    assert_eq!(groups.of("DbmanDown"), Answer::Rules(vec![rule]));
    assert_eq!(groups.of("DbmanUp"), Answer::Rules(vec![]));
}

#[test]
fn numbers_may_be_none_and_never_stand_beside_histograms() {
    let data = r#"{"resultType": "vector", "result": [{"metric": {}, "value": [1, "+Inf"]}]}"#;
    assert_eq!(read(data), Answer::Vector(vec![(Labels::new(), 1.0, f64::INFINITY)]));
    let mixed = r#"{"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"]],
        "histograms": [[2, {"count": "0", "sum": "0"}]]}]}"#;
    assert!(matches!(read(mixed), Answer::Failed(_)));
}
