using System.Globalization;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A phase of a call's life.</summary>
internal enum CrashPhase
{
    /// <summary>The client sends its request; the host does not have it.</summary>
    BeforeAccept,

    /// <summary>The host has the call and has sent nothing.</summary>
    FirstByte,

    /// <summary>A part of the answer is sent.</summary>
    Middle,

    /// <summary>Everything but the end is sent.</summary>
    End,

    /// <summary>The host has sent the end; the client does not have it, for the record is being written.</summary>
    Gate,
}

/// <summary>
/// Kills the proxy, NATS, PostgreSQL, the host, and PostgreSQL with the proxy at random points of their calls' lives, and checks after each recovery what
/// clients, database and subscribers have seen. <c>PROXY_CRASH_KILLS</c> is the number of kills of each (long form: 50), <c>PROXY_CRASH_SEED</c> repeats a
/// run's choices.
/// </summary>
public sealed class CrashMatrixTests
{
    private static readonly int Kills = Number("PROXY_CRASH_KILLS") ?? 5;
    private static readonly int Seed = Number("PROXY_CRASH_SEED") ?? Environment.TickCount & 0xfffff;

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Any_process_is_killed_Nothing_that_a_client_was_told_is_lost()
    {
        var table = new CrashTable(Seed);
        await using var house = await CrashHouse.StartAsync();
        var random = new Random(Seed);
        // Each victim meets each phase equally often.
        var plan = Enumerable.Range(0, Kills).SelectMany(
            static i => Enum.GetValues<Victim>().Select((victim, j) => (victim, Phase: (CrashPhase)((i + j) % Enum.GetValues<CrashPhase>().Length)))).ToArray();
        random.Shuffle(plan);
        await house.RecoverAsync("canary");

        for (var number = 0; number < plan.Length && table.Violations.Count == 0; number++)
            await new CrashRound(house, table, $"r{number}", random).RunAsync(plan[number].victim, plan[number].Phase);

        await CrashChecks.CheckUsageAsync(house, table);
        await Console.Out.WriteLineAsync(table.ToString()); // also of a run that succeeds
        Assert.True(table.Violations.Count == 0, $"{string.Join('\n', table.Violations)}\n{table}");
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var number) ? number : null;
}

/// <summary>Some calls at once, and one kill when one of them is in a phase.</summary>
internal sealed class CrashRound(CrashHouse house, CrashTable table, string name, Random random)
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);

    public async Task RunAsync(Victim victim, CrashPhase phase)
    {
        var calls = Calls();
        var target = calls[random.Next(calls.Count)];
        var more = target.WithinPhase(phase);
        var down = random.Next(0, 400);
        var between = random.Next(0, 150);

        var running = Task.WhenAll(calls.Select(static call => Task.Run(call.RunAsync)));
        await Task.WhenAny(target.ReachedAsync(phase), running);
        await Task.Delay(more);
        table.Count(victim, target.Phase(), calls);
        var killed = DateTime.UtcNow;
        await house.KillAsync(victim, between);
        await Task.Delay(down);
        await house.StartAgainAsync(victim);
        var restarted = DateTime.UtcNow;
        await Patience.For(running, $"the ends of the calls of {name}, seed {table.Seed}", Long);
        await house.RecoverAsync($"canary-{name}");

        await new CrashChecks(house, table, name, victim, calls, killed, restarted).RunAsync();
    }

    private List<CrashCall> Calls()
    {
        var calls = new List<CrashCall>();
        for (var i = 0; i < 2; i++)
        {
            calls.Add(Call(ClientKind.Plain, streams: true));
            calls.Add(Call(ClientKind.Plain, streams: false));
            calls.Add(Call(ClientKind.Keyed, streams: true));
            calls.Add(Call(ClientKind.Keyed, streams: false));
            calls.Add(Call(ClientKind.Resuming, streams: true));
        }

        return calls;

        CrashCall Call(ClientKind kind, bool streams) => new(house, $"{name}-c{calls.Count}", kind, streams, new Random(random.Next()));
    }
}

/// <summary>The counts of a crash matrix.</summary>
internal sealed class CrashTable(int seed)
{
    private static readonly int Phases = Enum.GetValues<CrashPhase>().Length;

    private readonly int[,] kills = new int[Enum.GetValues<Victim>().Length, Phases + 1]; // the last column: the call was over
    private readonly int[,] inFlight = new int[Enum.GetValues<Victim>().Length, Phases];
    private readonly SortedDictionary<string, int> totals = new(StringComparer.Ordinal);

    public int Seed => seed;

    public List<string> Violations { get; } = [];

    /// <summary>The counts without the kills.</summary>
    public string Totals => string.Concat(totals.Select(static total => $"{total.Value,8} {total.Key}\n")) + $"{Violations.Count,8} violations\n";

    public void Count(Victim victim, CrashPhase? phase, List<CrashCall> calls)
    {
        kills[(int)victim, phase is { } at ? (int)at : Phases]++;
        foreach (var call in calls)
        {
            if (call.Phase() is { } now) inFlight[(int)victim, (int)now]++;
        }
    }

    public void Add(string what, int count) => totals[what] = totals.GetValueOrDefault(what) + count;

    public void Set(string what, int count) => totals[what] = count;

    public override string ToString()
    {
        var text = new StringBuilder($"seed {seed}; kills by the phase of the call that was aimed at, and calls in that phase when something was killed\n");
        text.AppendLine($"{"",-10}{"accept",12}{"first byte",12}{"middle",12}{"end",12}{"gate",12}{"over",8}{"kills",8}");
        foreach (var victim in Enum.GetValues<Victim>())
        {
            text.Append($"{victim,-10}");
            for (var i = 0; i < Phases; i++) text.Append($"{$"{kills[(int)victim, i]} ({inFlight[(int)victim, i]})",12}");
            var all = Enumerable.Range(0, Phases + 1).Sum(i => kills[(int)victim, i]);
            text.AppendLine($"{kills[(int)victim, Phases],8}{all,8}");
        }

        return text.Append(Totals).ToString();
    }
}
