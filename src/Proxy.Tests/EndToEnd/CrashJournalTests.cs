using System.Globalization;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Two proxies with <c>[streams] journal = "jetstream"</c>, of which one, or NATS, or the host is killed at random points of their calls' lives. Afterwards
/// what NATS has of each answer is compared with what both proxies give of it and with what its client got. <c>PROXY_CRASH_KILLS</c> is the number of kills of
/// each, <c>PROXY_CRASH_SEED</c> repeats a run's choices.
/// </summary>
public sealed class CrashJournalTests
{
    private static readonly int Kills = Number("PROXY_CRASH_KILLS") ?? 2;
    private static readonly int Seed = Number("PROXY_CRASH_SEED") ?? Environment.TickCount & 0xfffff;

    private readonly SortedDictionary<string, int> counts = new(StringComparer.Ordinal);
    private readonly List<string> violations = [];
    private readonly Random random = new(Seed);

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Any_process_is_killed_A_client_gets_what_was_journaled_and_then_the_rest_or_an_error()
    {
        Victim[] victims = [Victim.Proxy, Victim.Nats, Victim.Host];
        await using var pair = await CrashPair.StartAsync();
        var plan = Enumerable.Range(0, Kills).SelectMany(i => victims.Select((victim, j) => (victim, Phase: (CrashPhase)((i + j + Seed) % 5)))).ToArray();
        random.Shuffle(plan);
        await pair.RecoverAsync("canary");

        for (var round = 0; round < plan.Length && violations.Count == 0; round++)
            await RoundAsync(pair, $"r{round}", plan[round].victim, plan[round].Phase);

        var table = $"seed {Seed}\n{string.Concat(counts.Select(static count => $"{count.Value,8} {count.Key}\n"))}{violations.Count,8} violations";
        await Console.Out.WriteLineAsync(table); // also of a run that succeeds
        Assert.True(violations.Count == 0, $"{string.Join('\n', violations)}\n{table}");
    }

    private async Task RoundAsync(CrashPair pair, string round, Victim victim, CrashPhase phase)
    {
        CrashStream[] calls = [.. Enumerable.Range(0, 8).Select(i => new CrashStream(pair, $"{round}-c{i}", i % 2, new Random(random.Next())))];
        var target = calls[random.Next(calls.Length)];
        var down = random.Next(0, 400);
        var killed = victim is Victim.Proxy ? target.First : (int?)null;

        var running = Task.WhenAll(calls.Select(static call => Task.Run(call.RunAsync)));
        await Task.WhenAny(target.ReachedAsync(phase), running);
        await Task.Delay(random.Next(30));
        Count($"{victim} killed, {phase}");
        await (killed is { } dead ? pair.KillProxyAsync(dead) : victim is Victim.Nats ? pair.Nats.KillAsync() : pair.Host.KillAsync());
        await Task.Delay(down);
        if (victim is Victim.Nats) await pair.Nats.StartAgainAsync();
        if (victim is Victim.Host) await pair.Host.StartAgainAsync();
        // The other proxy serves what it can, before the killed one is there again.
        if (killed is null || random.Next(2) == 0) await FinishAsync();
        if (killed is { } gone) await pair.StartProxyAsync(gone);
        await FinishAsync();
        await pair.RecoverAsync($"canary-{round}");
        foreach (var violation in (await Task.WhenAll(calls.Select(call => CheckAsync(pair, call, victim, killed)))).SelectMany(static found => found))
            violations.Add($"{round}, {victim} killed, seed {Seed}: {violation}");

        Task FinishAsync() => Patience.For(running, $"the ends of the calls of {round}, seed {Seed}", TimeSpan.FromMinutes(2));
    }

    private async Task<List<string>> CheckAsync(CrashPair pair, CrashStream call, Victim victim, int? killed)
    {
        List<string> found = [.. call.Violations];
        Count("calls");
        Count("reads of a stream by its id", call.Reads);
        Count("clients that have their whole answer", call.IsWhole ? 1 : 0);
        if (call.TraceId is not { } traceId)
        {
            if (killed != call.First && victim is not Victim.Host) found.Add($"{call.Name} was not answered: {call.Failure}");
            return found;
        }

        var mayFail = killed == call.First || victim is Victim.Host;
        if (!call.IsWhole && !mayFail) found.Add($"{call.Name} failed: {call.Failure}");
        if (killed != call.First)
            await Patience.Until(async () => (await pair.JournaledAsync(traceId)).HasEnd, $"the end of {call.Name} is journaled");
        var (messages, journaled, hasEnd) = await pair.JournaledAsync(traceId);
        Count("messages of journals", messages);
        Count("journals without their end", hasEnd ? 0 : 1);
        if (!call.Expected.StartsWith(journaled, StringComparison.Ordinal)) found.Add($"the journal of {call.Name} is no beginning of its answer: {journaled}");
        if (call.IsWhole && journaled != call.Expected) found.Add($"{call.Name} was whole for its client, but its journal has {journaled.Length} bytes");
        if (!call.Frames.StartsWith(journaled, StringComparison.Ordinal)) found.Add($"{call.Name} did not get all that was journaled: {call.Frames}");

        var replies = await Task.WhenAll(Enumerable.Range(0, 2).Select(i =>
            RawClient.SendAsync(pair.Proxy(i).Address, "GET", $"/v1/streams/{traceId}", null, $"Authorization: {CrashPair.Key}")));
        foreach (var reply in replies)
        {
            Count($"readings with status {reply.Status}");
            var (frames, error) = CrashStream.Parse(reply.Text);
            if (messages == 0 && reply.Status == 404) continue;
            if (reply.Status != 200) (frames, error) = ("", reply.Text);
            if (frames != journaled) found.Add($"{call.Name} is read with status {reply.Status} as '{reply.Text}', but its journal has '{journaled}'");
            else if (journaled != call.Expected && error.Length == 0) found.Add($"{call.Name} is read without an error after its {journaled.Length} bytes");
            else if (call.IsWhole && error.Length > 0) found.Add($"{call.Name} is whole, but is read with the error {error}");
        }

        return found;
    }

    private void Count(string what, int number = 1)
    {
        lock (counts) counts[what] = counts.GetValueOrDefault(what) + number;
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var number) ? number : null;
}
