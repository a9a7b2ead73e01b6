using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>What must be true of a round's calls when everything runs again.</summary>
/// <param name="killed">When it was killed.</param>
/// <param name="restarted">When the killed process ran again. An attempt that began later must succeed.</param>
internal sealed class CrashChecks(
    CrashHouse house, CrashTable table, string round, Victim victim, List<CrashCall> calls, DateTime killed, DateTime restarted)
{
    /// <summary>How long after its restart a host may still be taken for dead.</summary>
    private static readonly TimeSpan Probing = TimeSpan.FromSeconds(20);

    public async Task RunAsync()
    {
        var rows = await house.RowsAsync(round + "-");
        var keys = await KeysAsync();
        if (victim is Victim.Postgres or Victim.Host)
        {
            var ids = calls.Select(static call => call.Acknowledged?.TraceId).OfType<string>().ToList();
            await Patience.Until(() => Task.FromResult(house.Dones.IsSupersetOf(ids)), $"the messages of the calls of {round}, seed {table.Seed}");
        }

        foreach (var call in calls)
        {
            table.Violations.AddRange(call.Violations);
            CheckFailures(call);
            CheckRecords(call, [.. rows.Where(row => row.CallName == call.Name)], keys.GetValueOrDefault(call.Name));
        }

        CheckEnds(rows);
        if (await house.MetricAsync("proxy_records_lost_total") is > 0 and var lost) Violate($"{lost} records were lost");
        if (await house.MetricAsync("proxy_spool_bytes") is > 0 and var left) Violate($"{left} bytes are left in the spool");
        Count(rows);
    }

    /// <summary>The daily usage counts each record once.</summary>
    public static async Task CheckUsageAsync(CrashHouse house, CrashTable table)
    {
        var counted = (decimal)(await house.Postgres.QueryAsync("select sum(requests) from proxy.usage_daily")).Single()!;
        var rows = (long)(await house.Postgres.QueryAsync("select count(*) from proxy.exchanges")).Single()!;
        table.Add("rows of exchanges", (int)rows);
        if (counted != rows) table.Violations.Add($"usage_daily counts {counted} requests, but there are {rows} records");
    }

    /// <summary>The trace id that the store has for each key.</summary>
    private async Task<Dictionary<string, string>> KeysAsync() =>
        (await house.Postgres.QueryAsync($"select array[key, trace_id] from proxy.idempotency_log where key like '%/{round}-%'")).Cast<string[]>()
            .ToDictionary(static row => row[0][(row[0].LastIndexOf('/') + 1)..], static row => row[1]);

    /// <summary>Neither NATS nor PostgreSQL may cost a call anything; a call that begins when all are there must succeed.</summary>
    private void CheckFailures(CrashCall call)
    {
        var mayFail = victim is Victim.Host ? restarted + Probing : restarted;
        foreach (var (begun, why) in call.Failures.Where(static failure => failure.Why != CrashCall.Left))
        {
            if (victim is Victim.Nats or Victim.Postgres) Violate($"{call.Name} ({call.Kind}) failed: {why}");
            else if (begun > mayFail && !call.IsLost) Violate($"{call.Name} failed after the restart: {why}");
        }

        if (call.Kind is ClientKind.Keyed && call.Acknowledged is null) Violate($"{call.Name} never got its answer: {call.Failures[^1].Why}");
        if (call.IsLost && victim is Victim.Nats or Victim.Postgres) Violate($"{call.Name} cannot be resumed");
        if (victim is Victim.Nats or Victim.Postgres && house.Host.TimesOf(call.Name) is not 1 and var times)
            Violate($"{call.Name} was generated {times} times");
    }

    private void CheckRecords(CrashCall call, List<RecordRow> rows, string? keyed)
    {
        var whole = rows.Where(static row => row.Status == "ok").ToList();
        if (call.Acknowledged is { } seen)
        {
            var record = whole.Find(row => row.TraceId == seen.TraceId);
            if (record is null) Violate($"{call.Name} ({call.Kind}) was answered by {seen.TraceId}, which has no record");
            else if (!IsDurable(seen, record)) Violate($"{call.Name} ({call.Kind}) was answered {Early(seen, record)} before its record was durable");
        }

        if (call.Kind is not ClientKind.Keyed) return;
        // The new proxy cannot know of a record that only a database has which is away.
        if (victim is Victim.Both && whole.Count > 1 && whole.RemoveAll(row => row.Committed <= killed) > 0)
            table.Add("answers generated again because their record was in the database that was away", 1);
        if (whole.Count != 1) Violate($"{call.Name} has {whole.Count} records");
        else if (keyed != whole[0].TraceId) Violate($"{call.Name} has the record {whole[0].TraceId}, but its key has {keyed}");
    }

    private void CheckEnds(List<RecordRow> rows)
    {
        var ends = house.Ends;
        // Core NATS may bring a message again when its connection was lost while it was sent; its events have the same numbers.
        var distinct = ends.DistinctBy(static end => (end.Seen.TraceId, end.Seq)).ToList();
        table.Set("messages with an end that came twice", ends.Count - distinct.Count);
        foreach (var twice in distinct.GroupBy(static end => end.Seen.TraceId).Where(static group => group.Count() > 1))
            Violate($"the end of {twice.Key} was published twice");

        var records = rows.ToDictionary(static row => row.TraceId);
        foreach (var end in ends.Where(static end => end.Reason == "stop"))
        {
            if (records.TryGetValue(end.Seen.TraceId, out var row) && !IsDurable(end.Seen, row))
                Violate($"the end of {row.CallName} was published {Early(end.Seen, row)} before its record was durable");
        }

        var heard = ends.Select(static end => end.Seen.TraceId).ToHashSet();
        if (victim is Victim.Nats or Victim.Proxy or Victim.Both) return;
        foreach (var call in calls.Where(call => call.Acknowledged is { } seen && !heard.Contains(seen.TraceId)))
            Violate($"the end of {call.Name} was not published");
    }

    private void Count(List<RecordRow> rows)
    {
        var dones = house.Dones;
        table.Add("calls", calls.Count);
        table.Add("calls whose whole answer its client has", calls.Count(static call => call.Acknowledged is not null));
        table.Add("calls whose record was in the spool when their client had the answer",
            calls.Count(static call => call.Acknowledged is { WasSpooled: true }));
        table.Add("attempts that failed", calls.Sum(static call => call.Failures.Count(static one => one.Why != CrashCall.Left)));
        table.Add("answers replayed or joined by their key", calls.Sum(static call => call.Replays));
        table.Add("connections that clients closed", calls.Sum(static call => call.Cuts));
        table.Add("reads of a stream by its id", calls.Sum(static call => call.Resumes));
        table.Add("streams that could not be resumed", calls.Count(static call => call.IsLost));
        table.Add($"messages of answered calls not heard, {victim} killed",
            calls.Count(call => call.Acknowledged is { } seen && !dones.Contains(seen.TraceId)));
        table.Add("records of failed or left calls", rows.Count(static row => row.Status != "ok"));
    }

    private static bool IsDurable(Sighting seen, RecordRow record) => seen.WasSpooled || record.Committed <= seen.Time;

    private static string Early(Sighting seen, RecordRow record) => $"{(record.Committed - seen.Time).TotalMilliseconds:0.0} ms";

    private void Violate(string what) => table.Violations.Add($"{round}, {victim} killed: {what}");
}
