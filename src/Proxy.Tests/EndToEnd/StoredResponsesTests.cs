using System.Collections.Concurrent;
using Proxy.Streams;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Responses with a store: they outlive the process.</summary>
public sealed class StoredResponsesTests
{
    private const string Path = "/v1/responses";

    [Theory]
    [InlineData("openai", true)]
    [InlineData("openai", false)]
    [InlineData("ollama", true)]
    [InlineData("responses", true)]
    [InlineData("responses", false)]
    public async Task Response_is_found_after_a_restart_and_continued(string dialect, bool stream)
    {
        var store = new AnswerStore();
        RawReply first, items, state;
        await using (var house = await StartAsync(store, dialect))
        {
            KeptResponsesTests.Answer(house, dialect, "a1", stream, more: "");
            first = await house.PostAsync(Path, KeptResponsesTests.Request("q1", stream, ""));
            state = await house.GetAsync($"{Path}/resp_{first.TraceId}");
            items = await house.GetAsync($"{Path}/resp_{first.TraceId}/input_items");
        }

        await using var later = await StartAsync(store, dialect);
        var id = state.Json.GetProperty("id").GetString()!;

        Assert.Equal(state.Text, (await later.GetAsync($"{Path}/{id}")).Text);
        Assert.Equal(state.Text, (await later.GetAsync($"{Path}/resp_{first.TraceId}")).Text);
        Assert.Equal(items.Text, (await later.GetAsync($"{Path}/{id}/input_items")).Text);
        if (stream) Assert.Equal(first.Text, (await later.GetAsync($"{Path}/{id}?stream=true")).Text);
        KeptResponsesTests.Answer(later, dialect, "a2", stream: false, id: "resp_host2", more: "");
        var next = await later.PostAsync(Path, KeptResponsesTests.Request("q2", stream: false, $",\"previous_response_id\":\"{id}\""));
        Assert.Equal("a2", KeptResponsesTests.TextOf(next.Json));
        var asked = Assert.Single(later.Host.Calls).Text;
        Assert.True(asked.IndexOf("q1", StringComparison.Ordinal) is > 0 and var one && asked.IndexOf("a1", StringComparison.Ordinal) is var two
            && asked.IndexOf("q2", StringComparison.Ordinal) is var three && one < two && two < three, asked);

        Assert.Equal(200, (await later.DeleteAsync($"{Path}/{id}")).Status);
        Assert.Equal(404, (await later.GetAsync($"{Path}/{id}")).Status);
        Assert.Equal(404, (await later.GetAsync($"{Path}/resp_{first.TraceId}")).Status);
        Assert.DoesNotContain(first.TraceId, store.Rows.Keys);
    }

    [Fact]
    public async Task Response_is_stored_before_its_last_event_is_sent_with_its_time()
    {
        var store = new AnswerStore { Waits = new(TaskCreationOptions.RunContinuationsAsynchronously) };
        await using var house = await StartAsync(store, "responses");
        house.Expect().End(ResponsesHost.Stream("responses", "a1"));
        await using var client = await house.CallAsync(Path, KeptResponsesTests.Request("q1", stream: true, ""));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("a1");
        await Patience.For(store.Asked.Task, "the row is written");
        Assert.DoesNotContain("response.completed", client.BodySoFar, StringComparison.Ordinal);

        store.Waits.SetResult();
        await client.ReadUntilAsync("response.completed");

        var row = Assert.Single(store.Rows.Values);
        Assert.Equal(("anonymous", "resp_host1"), (row.Owner, row.HostId));
        Assert.Equal(TimeSpan.FromDays(30), row.ExpiresAt - row.CreatedAt);
        Assert.Equal(string.Concat(ResponsesHost.Stream("responses", "a1")), System.Text.Encoding.UTF8.GetString(row.Frames));
    }

    [Fact]
    public async Task Response_is_larger_than_the_memory_Nothing_false_is_stored()
    {
        var store = new AnswerStore();
        await using var house = await StartAsync(store, "openai", "[streams]\nmemory = \"16KiB\"");
        KeptResponsesTests.Answer(house, "openai", new string('x', 40_000), stream: true);

        var whole = await house.PostAsync(Path, KeptResponsesTests.Request("q", stream: true, ""));

        Assert.Contains("response.completed", whole.Text, StringComparison.Ordinal);
        Assert.Empty(store.Rows);
        Assert.Equal(410, (await house.GetAsync($"{Path}/resp_{whole.TraceId}")).Status);
    }

    [Fact]
    public async Task Only_what_is_to_be_stored_Is_stored()
    {
        var store = new AnswerStore();
        await using var house = await StartAsync(store, "openai");
        KeptResponsesTests.Answer(house, "openai", "x", stream: false);
        await house.PostAsync(Path, KeptResponsesTests.Request("q", stream: false, ",\"store\":false"));
        KeptResponsesTests.Answer(house, "openai", "x", stream: true);
        var body = KeptResponsesTests.Request("q", stream: false, ",\"store\":false,\"background\":true");
        var background = await house.PostAsync(Path, body, "x-correlation-id: b");
        await house.Proxy.Log.CallAsync("b");

        Assert.Empty(store.Rows);
        Assert.Equal("completed", KeptResponsesTests.Status((await house.GetAsync($"{Path}/resp_{background.TraceId}")).Json));
    }

    [Fact]
    public async Task Background_breaks_off_or_is_cancelled_It_is_found_as_such_after_a_restart()
    {
        var store = new AnswerStore();
        RawReply broken, cancelled;
        await using (var house = await StartAsync(store, "openai"))
        {
            house.Expect().End(OpenAi.Role(), OpenAi.Token("half"));
            broken = await house.PostAsync(Path, KeptResponsesTests.Request("q", stream: false, ",\"background\":true"), "x-correlation-id: b");
            await house.Proxy.Log.CallAsync("b");
            var answer = house.Expect();
            cancelled = await house.PostAsync(Path, KeptResponsesTests.Request("q", stream: false, ",\"background\":true"));
            answer.Send(OpenAi.Role() + OpenAi.Token("One"));
            var path = $"{Path}/resp_{cancelled.TraceId}";
            await Patience.Until(async () => KeptResponsesTests.TextOf((await house.GetAsync(path)).Json) == "One", "the first token");
            await house.PostAsync(path + "/cancel", "");
        }

        await using var later = await StartAsync(store, "openai");
        var first = (await later.GetAsync($"{Path}/resp_{broken.TraceId}")).Json;
        var second = (await later.GetAsync($"{Path}/resp_{cancelled.TraceId}")).Json;

        Assert.Equal(("failed", "half"), (KeptResponsesTests.Status(first), KeptResponsesTests.TextOf(first)));
        Assert.Equal(("cancelled", "One"), (KeptResponsesTests.Status(second), KeptResponsesTests.TextOf(second)));
    }

    [Fact]
    public async Task Store_fails_The_answer_ends_well_and_the_log_says_so()
    {
        var store = new AnswerStore { Fails = true };
        await using var house = await StartAsync(store, "openai");
        KeptResponsesTests.Answer(house, "openai", "x", stream: true);

        var first = await house.PostAsync(Path, KeptResponsesTests.Request("q", stream: true, ""));

        Assert.Contains("response.completed", first.Text, StringComparison.Ordinal);
        await house.Proxy.Log.EventAsync("response_not_stored");
        Assert.Equal("completed", KeptResponsesTests.Status((await house.GetAsync($"{Path}/resp_{first.TraceId}")).Json)); // from memory
        var unknown = await house.GetAsync($"{Path}/resp_other");
        Assert.Equal((503, "store_failed"), (unknown.Status, unknown.ErrorCode));
        await house.Proxy.Log.EventAsync("store_unreadable");
    }

    [Fact]
    public async Task Memory_has_forgotten_it_The_store_has_it()
    {
        var store = new AnswerStore();
        await using var house = await StartAsync(store, "openai");
        KeptResponsesTests.Answer(house, "openai", "x", stream: false);
        var first = await house.PostAsync(Path, KeptResponsesTests.Request("q", stream: false, ""));
        var before = await house.GetAsync($"{Path}/resp_{first.TraceId}");

        house.Proxy.Time.Advance(TimeSpan.FromMinutes(11));
        await Patience.Until(() => Task.FromResult(house.Proxy.Journals.Count == 0), "memory forgets it");

        Assert.Equal(before.Text, (await house.GetAsync($"{Path}/resp_{first.TraceId}")).Text);
        Assert.Equal(1, house.Proxy.Journals.Count);
    }

    private static Task<StreamHouse> StartAsync(AnswerStore store, string dialect, string settings = "") =>
        StreamHouse.StartAsync(settings, dialect, more: parts => parts.Store = store);

    /// <summary>A database in memory that keeps answers.</summary>
    private sealed class AnswerStore : IRecordStore
    {
        public ConcurrentDictionary<string, AnswerRow> Rows { get; } = [];

        public bool Fails { get; init; }

        /// <summary>Writing waits for it.</summary>
        public TaskCompletionSource? Waits { get; init; }

        /// <summary>Something is to be written.</summary>
        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
        {
            Asked.TrySetResult();
            if (Waits is not null) await Waits.Task.WaitAsync(cancellation);
            if (Fails) throw new StoreException("the database is gone");
            foreach (var row in rows.OfType<AnswerRow>()) Rows[row.TraceId] = row;
        }

        public ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation)
        {
            if (Fails) throw new StoreException("the database is gone");
            return new(Rows.Values.FirstOrDefault(row => row.Owner == owner && (row.TraceId == id || row.HostId == id)));
        }

        public ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation) => new(Rows.TryRemove(id, out _));

        public ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => default;

        public ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation) => default;

        public ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation) => new([]);

        public ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation) => default;

        public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) => new(Array.Empty<string>());

        public ValueTask PruneAsync(CancellationToken cancellation) => default;

        public ValueTask DisposeAsync() => default;
    }
}
