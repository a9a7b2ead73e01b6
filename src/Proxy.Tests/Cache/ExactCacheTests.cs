using Microsoft.Extensions.Time.Testing;
using Proxy.Cache;
using Proxy.Chat;

namespace Proxy.Tests.Cache;

/// <summary>Checks what the exact cache keeps in memory and for how long.</summary>
public sealed class ExactCacheTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Full_cache_Drops_the_answers_that_were_not_used_for_the_longest_time()
    {
        var cache = new ExactCache(10_000, time);
        for (var number = 0; number < 4; number++) cache.Add(Key(number), Answer(2000));
        Assert.NotNull(cache.Find(Key(0)));

        cache.Add(Key(4), Answer(2000));

        Assert.Equal([true, false, true, true, true], Enumerable.Range(0, 5).Select(number => cache.Find(Key(number)) is not null));
        Assert.True(cache.Bytes is > 8000 and <= 10_000, $"{cache.Bytes} bytes");
    }

    [Fact]
    public void Many_answers_Never_take_more_than_the_size()
    {
        var cache = new ExactCache(100_000, time);
        var random = new Random(1);
        for (var turn = 0; turn < 10_000; turn++)
        {
            cache.Add(Key(random.Next(100)), Answer(random.Next(20_000)));
            Assert.InRange(cache.Bytes, 0, 100_000);
        }
    }

    [Fact]
    public void Answer_that_is_larger_than_the_cache_Is_not_kept_and_displaces_none()
    {
        var cache = new ExactCache(10_000, time);
        cache.Add(Key(0), Answer(2000));

        cache.Add(Key(1), Answer(10_000));

        Assert.Equal((true, false), (cache.Find(Key(0)) is not null, cache.Find(Key(1)) is not null));
    }

    [Fact]
    public void Expired_answer_Is_gone_and_takes_no_memory()
    {
        var cache = new ExactCache(10_000, time);
        cache.Add(Key(0), Answer(2000));

        time.Advance(TimeSpan.FromHours(1) - TimeSpan.FromSeconds(1));
        Assert.NotNull(cache.Find(Key(0)));
        time.Advance(TimeSpan.FromSeconds(1));

        Assert.Null(cache.Find(Key(0)));
        Assert.Equal(0, cache.Bytes);
    }

    [Fact]
    public void Second_answer_Replaces_the_first_and_only_its_own_call_can_remove_it()
    {
        var cache = new ExactCache(10_000, time);
        var (first, second) = (Answer(2000), Answer(3000));
        cache.Add(Key(0), first);
        cache.Add(Key(0), second);

        cache.Remove(Key(0), first);
        Assert.Same(second, cache.Find(Key(0)));
        cache.Remove(Key(0), second);

        Assert.Null(cache.Find(Key(0)));
        Assert.Equal(0, cache.Bytes);
    }

    [Fact]
    public void Owners_Do_not_share_an_answer()
    {
        var cache = new ExactCache(10_000, time);
        cache.Add(new("a", "id"), Answer(10));

        Assert.Null(cache.Find(new("b", "id")));
        Assert.Null(cache.Find(new("", "id")));
    }

    [Fact]
    public void Owner_is_removed_The_answers_of_others_stay()
    {
        var cache = new ExactCache(10_000, time);
        cache.Add(new("a", "one"), Answer(10));
        cache.Add(new("a", "two"), Answer(10));
        cache.Add(new("b", "one"), Answer(10));

        cache.Remove("a");

        Assert.Null(cache.Find(new("a", "one")));
        Assert.Null(cache.Find(new("a", "two")));
        Assert.NotNull(cache.Find(new("b", "one")));
    }

    [Fact]
    public void Replayed_answer_Has_neither_the_id_nor_the_time_of_the_first_one()
    {
        var answer = new CachedAnswer("""
            {"type":"started","id":"chatcmpl-1","model":"m","created":1795000000,"opaque":{"system_fingerprint":"f"}}
            {"type":"token","text":"hi"}
            {"type":"finished","reason":"stop"}

            """u8.ToArray(), time.GetUtcNow());

        var events = answer.Replay();

        var started = Assert.IsType<ChatEvent.Started>(events[0]);
        Assert.Equal((null, "m", null, true), (started.Id, started.Model, started.Created, started.Opaque is not null));
        Assert.Equal([typeof(ChatEvent.Token), typeof(ChatEvent.Finished)], events.Skip(1).Select(happened => happened.GetType()));
    }

    private static CacheKey Key(int number) => new("me", $"{number}");

    private CachedAnswer Answer(int length) => new(new byte[length], time.GetUtcNow() + TimeSpan.FromHours(1));
}
