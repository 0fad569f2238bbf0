import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Keeps who holds which role in which place. Run: java Subscriber HOST:PORT [--once] */
public class Subscriber {
    static final String STATE = "iacs.directory.state.v1", EVENTS = "iacs.directory.v1";
    static final String ASSIGNMENT = "iacs.directory.role_assignment.state.v1";
    static final String GRANTED = "iacs.directory.role.granted.v1", ENDED = "iacs.directory.role.ended.v1";
    static final ObjectMapper JSON = new ObjectMapper();

    /** Up to where we know a role assignment: the scope's last event that counted, then the record's version. */
    record At(long event, long version) {
        boolean isAfter(At other) {
            return other == null || event > other.event || (event == other.event && version > other.version);
        }
    }

    final String servers;
    final Map<String, String> held = new HashMap<>(); // By role assignment: person, role, place.
    final Map<String, At> known = new HashMap<>(); // By role assignment.
    final Map<String, Long> last = new HashMap<>(); // By source: the number of its last event.

    Subscriber(String servers) {
        this.servers = servers;
    }

    void run(boolean once) throws Exception {
        read(STATE, true);
        read(EVENTS, once);
    }

    void read(String topic, boolean toEnd) throws Exception {
        // No group, nothing committed: each start reads everything, and ends with the same.
        Map<String, Object> settings = Map.of("bootstrap.servers", servers, "enable.auto.commit", false);
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<byte[], byte[]>(settings, bytes, bytes)) {
            List<TopicPartition> places = consumer.partitionsFor(topic).stream()
                    .map(found -> new TopicPartition(topic, found.partition()))
                    .toList();
            consumer.assign(places);
            consumer.seekToBeginning(places);
            Map<TopicPartition, Long> ends = consumer.endOffsets(places);
            while (!toEnd || places.stream().anyMatch(place -> consumer.position(place) < ends.get(place))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    take(record);
                }
            }
        }
    }

    void take(ConsumerRecord<byte[], byte[]> record) throws Exception {
        Map<String, String> ce = new HashMap<>();
        for (Header header : record.headers()) {
            ce.put(header.key(), new String(header.value(), StandardCharsets.UTF_8));
        }
        if (ce.containsKey("ce_sequence")) {
            String source = ce.get("ce_source");
            long number = Long.parseLong(ce.get("ce_sequence"));
            if (number > last.getOrDefault(source, number - 1) + 1) {
                read(STATE, true); // A gap: we missed something, the state did not.
            }
            last.merge(source, number, Math::max);
        }
        String type = ce.getOrDefault("ce_type", "");
        if (!Set.of(ASSIGNMENT, GRANTED, ENDED).contains(type)) {
            return; // Not about roles, or younger than this program.
        }
        String assignment = ce.get("ce_subject");
        String event = ce.getOrDefault("ce_sequence", ce.get("ce_asofsequence"));
        At at = new At(Long.parseLong(event), Long.parseLong(ce.getOrDefault("ce_entityversion", "0")));
        if (!at.isAfter(known.get(assignment))) {
            return; // A repeat, or an event that the state counts already.
        }
        known.put(assignment, at);
        JsonNode body = record.value() == null ? JSON.createObjectNode() : JSON.readTree(record.value());
        boolean isHeld = type.equals(GRANTED) || body.path("status").asText().equals("active");
        if (isHeld && !held.containsKey(assignment)) {
            held.put(assignment, String.join(" ",
                    body.get("person_id").asText(), body.get("role").asText(), body.get("place_id").asText()));
            System.out.println("+ " + held.get(assignment));
        } else if (!isHeld && held.containsKey(assignment)) {
            System.out.println("- " + held.remove(assignment));
        }
    }

    public static void main(String[] words) throws Exception {
        new Subscriber(words[0]).run(Arrays.asList(words).contains("--once"));
    }
}
